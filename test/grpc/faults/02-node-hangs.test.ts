/** Fault 2 over gRPC: a node hangs with its connections open. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, ms, printFigure } from "../../support/figure.ts";
import { busiest, failures, startShop } from "../support/shop.ts";

test("a frozen node fails no call and slows few", async () => {
  await using shop = await startShop("grpc-hangs", { options: withTimeout() });
  const healthy = await shop.drive({ ratePerSecond: 100, seconds: 1 });
  const driving = shop.drive({ ratePerSecond: 100, seconds: 4 });
  await sleep(800);
  const victim = busiest(shop);
  victim.freeze();
  await sleep(2_500);
  victim.thaw();
  const results = await driving;
  const timeouts = shop.recorder
    .endsOn(`http://${victim.address}`)
    .filter(({ reason }) => reason === "timeout");
  const slowest = results.ours.percentile(0.999);
  const healthySlowest = healthy.ours.percentile(0.999);
  printFigure(
    "2 node hangs over gRPC",
    `${results.ours.failed.length} of ${count(results.ours.calls.length)} failed (pass: 0)`,
    `p99.9 ${ms(slowest)} (pass: 400 ms), healthy ${ms(healthySlowest)}`,
    `round_robin p99.9 ${ms(results.plain.percentile(0.999))}, hardened ${ms(results.hardened.percentile(0.999))}`,
    `${timeouts.length} attempts timed out`,
    ...failures(results),
  );
  expect(timeouts.length, "calls that the freeze caught").toBeGreaterThan(0);
  expect(results.ours.failed, results.ours.describeFailures()).toHaveLength(0);
  // Of so few calls p99.9 is the slowest alone, which a pause of the machine decides: the two slowest are left out. What
  // the machine adds to a healthy call it may add twice to one that is tried twice.
  expect(results.ours.percentile(0.995)).toBeLessThanOrEqual(400 + Math.max(400, 2 * healthySlowest));
});

function withTimeout() {
  return { timeouts: { attemptMs: 300 }, retry: { methods: ["/bench.Orders/GetOrder"] } };
}
