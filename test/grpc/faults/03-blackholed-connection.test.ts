/** Fault 3 over gRPC: a live connection goes silent, while new ones are made as ever. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startFaultProxy } from "../../../src/testing/fault-proxy.ts";
import { count, ms, printFigure } from "../../support/figure.ts";
import { balance, inTurn, openRoundRobin } from "../support/clients.ts";
import { methods, startServers } from "../support/servers.ts";

test("a silent connection is retired by an unanswered PING and never used again", async () => {
  await using servers = await startServers(2);
  await using proxy = await startFaultProxy({ target: String(servers[0]?.address) });
  const addresses = [proxy.address.replace("http://", ""), String(servers[1]?.address)];
  await using balanced = balance(addresses, { retry: { methods: [methods.get.path] } });
  using plain = await openRoundRobin(addresses);
  using hardened = await openRoundRobin(addresses, { hardened: true });
  await inTurn(10, () => balanced.client.get());
  await inTurn(10, () => plain.get());
  await inTurn(10, () => hardened.get());
  expect(proxy.accepted).toBeGreaterThanOrEqual(3);

  const before = proxy.accepted;
  await proxy.set({ kind: "stall" });
  const silentAt = performance.now();
  const took: number[] = [];
  const lost = { ours: 0, plain: 0, hardened: 0 };
  const calls: Promise<unknown>[] = [];
  while (performance.now() < silentAt + 2_500) {
    const startedAt = performance.now();
    calls.push(
      balanced.client.get({ deadline: Date.now() + 4_000 }).then(
        () => took.push(performance.now() - startedAt),
        () => lost.ours++,
      ),
      plain.get({ deadline: Date.now() + 2_000 }).catch(() => lost.plain++),
      hardened.get({ deadline: Date.now() + 2_000 }).catch(() => lost.hardened++),
    );
    await sleep(20);
  }
  await Promise.all(calls);
  const slowest = Math.max(...took);
  printFigure(
    "3 blackholed connection over gRPC",
    `slowest call ${ms(slowest)}: retired and made good (pass: 1,500 ms, and a retry)`,
    `failed ${lost.ours} of ${count(took.length + lost.ours)} (pass: 0), round_robin ${lost.plain}, with retryPolicy and keepalive ${lost.hardened}`,
    `new connections to it: ${proxy.accepted - before}`,
  );
  expect(lost.plain, "calls that the silence met").toBeGreaterThan(0);
  expect(slowest, "a call that the silence caught").toBeGreaterThan(500);
  expect(lost.ours).toBe(0);
  // Between two pings of a second, half a second of waiting, and what the machine adds.
  expect(slowest).toBeLessThanOrEqual(2_000);
});
