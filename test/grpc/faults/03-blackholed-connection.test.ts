/** Fault 3 over gRPC: a live connection goes silent, while new ones are made as ever. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { startFaultProxy } from "../../../src/testing/fault-proxy.ts";
import { count, ms, printFigure } from "../../support/figure.ts";
import { balance, connected, inTurn } from "../support/clients.ts";
import { methods, startServers } from "../support/servers.ts";

test("a silent connection is retired by an unanswered PING and never used again", async () => {
  await using servers = await startServers(2);
  await using proxy = await startFaultProxy({ target: String(servers[0]?.address) });
  const addresses = [proxy.address.replace("http://", ""), String(servers[1]?.address)];
  await using balanced = balance(addresses, { retry: { methods: [methods.get.path] } });
  const apart = { "grpc.use_local_subchannel_pool": 1 };
  const config = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });
  using plain = new Plain(`ipv4:${addresses.join(",")}`, { ...apart, "grpc.service_config": config });
  await connected(plain.client);
  await inTurn(10, () => balanced.client.get());
  await inTurn(10, () => plain.get());
  expect(proxy.accepted).toBeGreaterThanOrEqual(2);

  const before = proxy.accepted;
  await proxy.set({ kind: "stall" });
  const silentAt = performance.now();
  const took: number[] = [];
  const lost = { ours: 0, plain: 0 };
  const calls: Promise<unknown>[] = [];
  while (performance.now() < silentAt + 2_500) {
    const startedAt = performance.now();
    calls.push(
      balanced.client.get({ deadline: Date.now() + 4_000 }).then(
        () => took.push(performance.now() - startedAt),
        () => lost.ours++,
      ),
      plain.get(1_000).catch(() => lost.plain++),
    );
    await sleep(20);
  }
  await Promise.all(calls);
  const slowest = Math.max(...took);
  printFigure(
    "3 blackholed connection over gRPC",
    `slowest call ${ms(slowest)}: retired and made good (pass: 1,500 ms, and a retry)`,
    `failed ${lost.ours} of ${count(took.length + lost.ours)} (pass: 0), round_robin ${lost.plain}`,
    `new connections to it: ${proxy.accepted - before}`,
  );
  expect(lost.plain, "calls that the silence met").toBeGreaterThan(0);
  expect(slowest, "a call that the silence caught").toBeGreaterThan(500);
  expect(lost.ours).toBe(0);
  // Between two pings of a second, half a second of waiting, and what the machine adds.
  expect(slowest).toBeLessThanOrEqual(2_000);
});

class Plain implements Disposable {
  readonly client: Client;

  constructor(target: string, options: object) {
    this.client = new Client(target, credentials.createInsecure(), options);
  }

  get(timeoutMs = 5_000): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = methods.get;
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        Buffer.alloc(0),
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null) => (error === null ? resolve() : reject(error)),
      );
    });
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}
