/** Fault 8 over gRPC: a server sends GOAWAY every 250 ms under load. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type DriveResult, drive } from "../../support/drive.ts";
import { count, printFigure } from "../../support/figure.ts";
import { balance, openRoundRobin } from "../support/clients.ts";
import { startServers } from "../support/servers.ts";

test("calls in flight finish, and those that the server did not take go elsewhere, whatever their method", async () => {
  const peers = new Set<string>();
  await using servers = await startServers(3, {
    put: (call, callback) => {
      peers.add(call.getPeer());
      setTimeout(() => callback(null, Buffer.from("1")), 5);
    },
  });
  const addresses = servers.map(({ address }) => address);
  // Not to be tried again but where it was provably not processed.
  await using balanced = balance(addresses, { retry: { methods: [] } });
  await balanced.client.put();
  using plain = await openRoundRobin(addresses);
  using hardened = await openRoundRobin(addresses, { hardened: true });
  const load = { ratePerSecond: 200, seconds: 6 };
  const driving = Promise.all(
    [balanced.client, plain, hardened].map((client) =>
      drive(load, async () => {
        await client.put();
      }),
    ),
  );
  let drains = 0;
  for (let round = 0; round < 22; round++) {
    await sleep(250);
    const server = servers[round % servers.length];
    server?.server.drain(server.address, 5_000);
    drains++;
  }
  const [ours, theirs, tuned] = (await driving) as [DriveResult, DriveResult, DriveResult];
  printFigure(
    "8 GOAWAY mid-flight over gRPC",
    `${ours.failed.length} of ${count(ours.calls.length)} failed (pass: 0), round_robin ${theirs.failed.length}, with retryPolicy and keepalive ${tuned.failed.length}`,
    `${drains} GOAWAYs, ${peers.size} connections`,
  );
  expect(peers.size, "connections made anew").toBeGreaterThan(drains / 2);
  expect(ours.failed, ours.describeFailures()).toHaveLength(0);
});
