/** Fault 5 over gRPC: the server closes connections that were idle for 100 ms, at the very moment of their next use. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createSeededRandom } from "../../../src/core/random.ts";
import { count, printFigure } from "../../support/figure.ts";
import { balance } from "../support/clients.ts";
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
  let calls = 0;
  await using balanced = balance([server.address], { retry: { methods: [] } });
  const { Metadata } = await import("@grpc/grpc-js");
  // Channels of their own connections, so that each is idle between its calls.
  const clients = Array.from({ length: 20 }, (_, index) =>
    balanced.connect({ "grpc.primary_user_agent": `${index}` }),
  );
  await Promise.all(
    clients.map(async (client, index) => {
      for (let round = 0; round < 30; round++) {
        const metadata = new Metadata();
        metadata.set("x-key", `${index} ${round}`);
        calls++;
        await client.unary(methods.put, {}, metadata).catch(() => failed++);
        await sleep(95 + 12 * random());
      }
    }),
  );
  const doubles = [...runs.values()].filter((times) => times > 1).length;
  printFigure(
    "5 keep-alive race over gRPC",
    `${failed} of ${count(calls)} failed (pass: 0)`,
    `ran twice: ${doubles} (pass: 0)`,
    `over ${connections.size} connections for ${clients.length} channels`,
  );
  expect(connections.size, "connections that were closed in between").toBeGreaterThan(2 * clients.length);
  expect(failed).toBe(0);
  expect(doubles).toBe(0);
});
