/** Fault 34 over gRPC: five servers are restarted one after the other under load, as a deploy does it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { list } from "../../../src/index.ts";
import { type DriveResult, drive } from "../../support/drive.ts";
import { count, printFigure } from "../../support/figure.ts";
import { balance, openRoundRobin } from "../support/clients.ts";
import { methods, startServer, type TestServer } from "../support/servers.ts";

const rate = 150;

test("servers that deregister, wait, drain and come back cost no call, whatever its method", async () => {
  const work = { put: slowly };
  const servers: TestServer[] = await Promise.all(Array.from({ length: 5 }, () => startServer(work)));
  try {
    const nodes = list(servers.map(({ address }) => address));
    await using balanced = balance(nodes, { retry: { methods: [] } });
    await balanced.client.put();
    // They know of no discovery: a fixed list is what a name of DNS would give them for as long as connections stand.
    using plain = await openRoundRobin(nodes.endpoints.map(({ address }) => address));
    using hardened = await openRoundRobin(
      nodes.endpoints.map(({ address }) => address),
      { hardened: true },
    );
    const driving = Promise.all(
      [balanced.client, plain, hardened].map((client) =>
        drive({ ratePerSecond: rate, seconds: 8 }, async () => {
          await client.unary(methods.put);
        }),
      ),
    );
    const restarted: TestServer[] = [];
    for (const server of servers) {
      nodes.remove(server.address);
      // Others learn of it in their own time; here at once.
      await sleep(200);
      await new Promise<void>((resolve) => server.server.tryShutdown(() => resolve()));
      const back = await startServer(work, { port: server.port });
      restarted.push(back);
      nodes.add(back.address);
      await sleep(800);
    }
    const [result, theirs, tuned] = (await driving) as [DriveResult, DriveResult, DriveResult];
    const used = restarted.filter(({ calls }) => (calls.get("put") ?? 0) > 0).length;
    printFigure(
      "34 rolling restart over gRPC",
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0), round_robin ${theirs.failed.length}, with retryPolicy and keepalive ${tuned.failed.length}`,
      `${used} of 5 restarted servers were called`,
    );
    servers.push(...restarted);
    expect(used).toBe(5);
    expect(result.failed, result.describeFailures()).toHaveLength(0);
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
});

function slowly(_call: unknown, callback: (error: null, answer: Buffer) => void): void {
  setTimeout(() => callback(null, Buffer.from("1")), 5);
}
