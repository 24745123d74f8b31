/** Fault 15 over gRPC: every node dies; then one comes back, then all. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, ms, printFigure } from "../../support/figure.ts";
import { until } from "../../support/until.ts";
import { startShop } from "../support/shop.ts";

test("with all nodes dead calls fail at once, and find the first that is back", async () => {
  await using shop = await startShop("grpc-all-die");
  const { backends, recorder } = shop;
  const startedAt = performance.now();
  const driving = shop.drive({ ratePerSecond: 100, seconds: 10 });
  await sleep(1_000);
  await Promise.all(backends.map((backend) => backend.kill()));
  await sleep(2_500);
  const successes = (address: string, since: number): number =>
    recorder.endsOn(`http://${address}`).filter(({ outcome, at }) => outcome === "success" && at >= since)
      .length;

  const [first] = backends;
  if (first === undefined) throw new Error("there is no backend");
  backends[0] = await first.restart();
  const oneBackAt = performance.now();
  const firstMs = await until("a success on it", () => successes(first.address, oneBackAt - 500) > 0, 5_000);
  await sleep(1_000);
  const others = await Promise.all(backends.slice(1).map((backend) => backend.restart()));
  backends.splice(1, others.length, ...others);
  const allBackAt = performance.now();
  const allUsed = () => backends.every(({ address }) => successes(address, allBackAt - 500) > 0);
  const allMs = await until("a success on each", allUsed, 20_000);
  const results = await driving;
  const after = results.ours.failed.filter(({ dueMs }) => startedAt + dueMs >= oneBackAt + 1_000);
  const quick = results.ours.failed.map(({ tookMs }) => tookMs).toSorted((left, right) => left - right);
  printFigure(
    "15 all nodes die over gRPC",
    `first success ${ms(firstMs)} after one was back (pass: 1,000 ms)`,
    `all used ${ms(allMs)} after all were back (pass: 2,000 ms)`,
    `failed later than 1 s after: ${after.length} (pass: 0)`,
    `failed of ${count(results.ours.calls.length)}: ${results.ours.failed.length}, at the median in ${ms(quick[quick.length >> 1] ?? 0)}`,
    `round_robin ${results.plain.failed.length}, hardened ${results.hardened.failed.length}`,
  );
  expect(results.ours.failed.length, "calls that the fault met").toBeGreaterThan(0);
  // Both looser than the marks, for a busy machine.
  expect(firstMs).toBeLessThanOrEqual(2_000);
  expect(after, results.ours.describeFailures()).toHaveLength(0);
  expect(allMs).toBeLessThanOrEqual(4_000);
});
