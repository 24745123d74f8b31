/** Fault 5 over gRPC: the server closes connections that were idle for 100 ms, at the very moment of their next use. */
import { setTimeout as sleep } from "node:timers/promises";
import { Metadata } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { createSeededRandom } from "../../../src/core/random.ts";
import { count, printFigure } from "../../support/figure.ts";
import { balance, type OrdersClient, openRoundRobin } from "../support/clients.ts";
import { methods, startServer } from "../support/servers.ts";

test("calls that meet a closing connection are made good, and none runs twice", async () => {
  const runs = new Map<string, number>();
  const connections = new Set<string>();
  await using server = await startServer(
    {
      put: (call, callback) => {
        const key = String(call.metadata.get("x-key")[0]);
        runs.set(key, (runs.get(key) ?? 0) + 1);
        connections.add(call.getPeer());
        callback(null, Buffer.from("1"));
      },
    },
    { options: { "grpc.max_connection_idle_ms": 100 } },
  );
  const random = createSeededRandom(5);
  let failed = 0;
  await using balanced = balance([server.address], { retry: { methods: [] } });
  // Channels of their own connections, so that each is idle between its calls.
  const clients = Array.from({ length: 20 }, (_, index) =>
    balanced.connect({ "grpc.primary_user_agent": `${index}` }),
  );
  const theirs = await Promise.all(clients.map(() => openRoundRobin([server.address])));
  let theirFailed = 0;
  const run = async (client: OrdersClient, name: string, lost: () => void): Promise<void> => {
    for (let round = 0; round < 40; round++) {
      const metadata = new Metadata();
      metadata.set("x-key", `${name} ${round}`);
      await client.unary(methods.put, {}, metadata).catch(lost);
      await sleep(95 + 12 * random());
    }
  };
  await Promise.all([
    ...clients.map((client, index) => run(client, `ours ${index}`, () => failed++)),
    ...theirs.map((client, index) => run(client, `theirs ${index}`, () => theirFailed++)),
  ]);
  for (const client of theirs) client.close();
  const calls = 40 * clients.length;
  const doubles = [...runs.values()].filter((times) => times > 1).length;
  printFigure(
    "5 keep-alive race over gRPC",
    `${failed} of ${count(calls)} failed (pass: 0), round_robin ${theirFailed}`,
    `ran twice: ${doubles} (pass: 0)`,
    `over ${connections.size} connections for ${2 * clients.length} channels`,
  );
  expect(connections.size, "connections that were closed in between").toBeGreaterThan(4 * clients.length);
  expect(failed).toBe(0);
  expect(doubles).toBe(0);
});
