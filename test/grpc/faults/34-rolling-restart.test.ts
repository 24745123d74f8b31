/** Fault 34 over gRPC: five servers are restarted one after the other under load, as a deploy does it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { list } from "../../../src/index.ts";
import { drive } from "../../support/drive.ts";
import { count, printFigure } from "../../support/figure.ts";
import { balance } from "../support/clients.ts";
import { methods, startServer, type TestServer } from "../support/servers.ts";

const rate = 400;

test("servers that deregister, wait, drain and come back cost no call, whatever its method", async () => {
  const work = { put: slowly };
  const servers: TestServer[] = await Promise.all(Array.from({ length: 5 }, () => startServer(work)));
  try {
    const nodes = list(servers.map(({ address }) => address));
    await using balanced = balance(nodes, { retry: { methods: [] } });
    await balanced.client.put();
    const driving = drive({ ratePerSecond: rate, seconds: 8 }, async () => {
      await balanced.client.unary(methods.put);
    });
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
    const result = await driving;
    const used = restarted.filter(({ calls }) => (calls.get("put") ?? 0) > 0).length;
    printFigure(
      "34 rolling restart over gRPC",
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
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
