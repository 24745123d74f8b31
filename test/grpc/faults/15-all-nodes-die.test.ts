/** Fault 15 over gRPC: every node dies; then one comes back, then all. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, ms, printFigure } from "../../support/figure.ts";
import { first } from "../../support/service.ts";
import { until } from "../../support/until.ts";
import { failures, startShop } from "../support/shop.ts";

/** For each of the three. */
const rate = 200;
const allUsedLimitMs = 20_000;

test("with all nodes dead calls fail at once, and find the first that is back", async () => {
  await using shop = await startShop({ workMs: 20 });
  const { backends, recorder } = shop;
  const startedAt = performance.now();
  const driving = shop.drive({ ratePerSecond: rate, seconds: 6 });
  await sleep(700);
  const inflight = shop.balancer.nodes.reduce((sum, node) => sum + node.inflight, 0);
  await Promise.all(backends.map((backend) => backend.kill()));
  await sleep(1_300);
  const successes = (address: string, since: number): number =>
    recorder.endsOn(`http://${address}`).filter(({ outcome, at }) => outcome === "success" && at >= since)
      .length;

  const { address, restart } = first(backends, "backend");
  backends[0] = await restart();
  const oneBackAt = performance.now();
  const firstMs = await until("a success on it", () => successes(address, oneBackAt - 500) > 0, 5_000);
  await sleep(1_000);
  const others = await Promise.all(backends.slice(1).map((backend) => backend.restart()));
  backends.splice(1, others.length, ...others);
  const allBackAt = performance.now();
  const allUsed = () => backends.every((backend) => successes(backend.address, allBackAt - 500) > 0);
  const [allMs, results] = await Promise.all([
    until("a success on each", allUsed, allUsedLimitMs),
    driving.then(async (driven) => {
      // On a busy machine the processes may come after the last call.
      while (!allUsed() && performance.now() < allBackAt + allUsedLimitMs) {
        await shop.drive({ ratePerSecond: rate, seconds: 0.2 });
      }
      return driven;
    }),
  ]);
  const { ours } = results;
  const after = ours.failed.filter(({ dueMs }) => startedAt + dueMs >= oneBackAt + 1_000);
  const quick = ours.failed.map(({ tookMs }) => tookMs).toSorted((left, right) => left - right);
  printFigure(
    "15 all nodes die over gRPC",
    `first success ${ms(firstMs)} after one was back (pass: 1,000 ms)`,
    `all used ${ms(allMs)} after all were back (pass: 2,000 ms)`,
    `failed later than 1 s after: ${after.length} (pass: 0)`,
    `${inflight} were in flight at the kill`,
    `failed of ${count(ours.calls.length)}: ${ours.failed.length}, at the median in ${ms(quick[quick.length >> 1] ?? 0)}`,
    failures(results),
  );
  expect(inflight, "calls that the kill cut").toBeGreaterThan(0);
  expect(ours.failed.length, "calls that the fault met").toBeGreaterThan(rate / 2);
  expect(results.plain.failed.length, "calls of round_robin that the fault met").toBeGreaterThan(rate / 2);
  // Both looser than the marks, for a busy machine.
  expect(firstMs).toBeLessThanOrEqual(2_000);
  expect(after, ours.describeFailures()).toHaveLength(0);
  expect(allMs).toBeLessThanOrEqual(4_000);
});
