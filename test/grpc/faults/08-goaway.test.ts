/** Fault 8 over gRPC: every 250 ms a node tells all its connections to go (GOAWAY), and has not taken all that is on them. */
import { Metadata } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { drive } from "../../support/drive.ts";
import { count, printFigure } from "../../support/figure.ts";
import { Recorder } from "../../support/recorder.ts";
import { balance, type OrdersClient } from "../support/clients.ts";
import { startLeavingNodes } from "../support/leaving-nodes.ts";
import { openRoundRobin } from "../support/round-robin.ts";
import { methods } from "../support/servers.ts";
import { type Each, failures, ofEach } from "../support/shop.ts";

/** Ours makes 4,000 calls. The other two have a tenth of the rate, which shows as much of them. */
const rates: Each<number> = { ours: 500, plain: 50, hardened: 50 };
const seconds = 8;

test("calls in flight finish, and those that the server did not take go elsewhere, whatever their method", async () => {
  await using nodes = await startLeavingNodes({ nodes: 5, workMs: 20, everyMs: 250 });
  const { addresses } = nodes;
  // Not to be tried again but where it was provably not processed.
  await using balanced = balance(addresses, { retry: { methods: [] } });
  using recorder = new Recorder(balanced.balancer.name);
  using plain = await openRoundRobin(addresses);
  using hardened = await openRoundRobin(addresses, { hardened: true });
  const clients: Each<OrdersClient> = { ours: balanced.client, plain, hardened };
  await balanced.client.put();
  nodes.leave();
  const results = await ofEach((system) =>
    drive({ ratePerSecond: rates[system], seconds }, async (index) => {
      const metadata = new Metadata();
      metadata.set("x-key", `${system} ${index}`);
      await clients[system].unary(methods.put, { deadline: Date.now() + 10_000 }, metadata);
    }),
  );
  const { goAways, connections, finishing, refused, doubles } = await nodes.counts();
  const { ours } = results;
  // With keepalive grpc-js drops what is in flight when a PING is due after a GOAWAY, and a retryPolicy sends it again.
  const doublesOfOurs = doubles.filter((key) => key.startsWith("ours "));
  const again = recorder.retries.filter(({ reason }) => reason === "closing").length;
  printFigure(
    "8 GOAWAY mid-flight over gRPC",
    `${ours.failed.length} of ${count(ours.calls.length)} failed (pass: 0)`,
    `${goAways} GOAWAYs to ${connections} connections of all three`,
    `in flight on them ${finishing} calls that were finished and ${refused} that were not taken`,
    `attempts of ours that were made again: ${again}`,
    `calls that ran twice: ${doublesOfOurs.length} (pass: 0), of the other two ${doubles.length - doublesOfOurs.length}`,
    failures(results),
  );
  expect(goAways, "to three clients, about 32 times").toBeGreaterThan(40);
  expect(connections, "connections made anew").toBeGreaterThan(40);
  expect(finishing, "calls that were in flight at a GOAWAY").toBeGreaterThan(15);
  expect(again, "calls of ours that were not taken").toBeGreaterThan(10);
  expect(ours.failed, ours.describeFailures()).toHaveLength(0);
  expect(doublesOfOurs).toEqual([]);
});
