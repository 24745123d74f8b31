/** Fault 18 over gRPC: a node joins that is slow for its first seconds, since its caches are empty. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startGrpcBackend } from "../../../bench/faults/grpc-backend.ts";
import { list } from "../../../src/index.ts";
import { ms, percent, printFigure } from "../../support/figure.ts";
import { startShop } from "../support/shop.ts";

const warmNodes = 4;

test("a cold node gets at most a quarter of its share in its first second", async () => {
  const nodes = list([]);
  await using shop = await startShop("grpc-cold", {
    nodes: warmNodes,
    discover: (addresses) => {
      nodes.set(addresses);
      return nodes;
    },
  });
  await shop.drive({ ratePerSecond: 150, seconds: 1 });
  const driving = shop.drive({ ratePerSecond: 200, seconds: 3.5 });
  await sleep(500);
  const cold = await startGrpcBackend({ workMs: 100, workers: 100 });
  shop.backends.push(cold);
  const joinedAt = performance.now();
  nodes.add(cold.address);
  await sleep(1_200);
  const starts = shop.recorder.startsOn(`http://${cold.address}`);
  const first = starts[0]?.at ?? Number.POSITIVE_INFINITY;
  const within = (at: number): boolean => at >= joinedAt && at < joinedAt + 1_000;
  const mine = starts.filter(({ at }) => within(at)).length;
  const all = shop.recorder.starts.filter(({ at }) => within(at)).length;
  const results = await driving;
  const share = mine / all / (1 / (warmNodes + 1));
  printFigure(
    "18 cold start over gRPC",
    `first call ${ms(first - joinedAt)} after discovery named it (pass: 100 ms)`,
    `${percent(mine, all)} of the calls in its first second, ${Math.round(100 * share)}% of a fair share (pass: 25%)`,
    `failed: ${results.ours.failed.length}`,
  );
  expect(mine, "calls that met the cold node").toBeGreaterThan(0);
  // Looser than the mark: a busy machine may hold a single call up for longer.
  expect(first - joinedAt).toBeLessThanOrEqual(500);
  expect(share).toBeLessThanOrEqual(0.25);
  expect(results.ours.failed).toHaveLength(0);
});
