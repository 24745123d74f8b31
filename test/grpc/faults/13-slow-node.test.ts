/** Fault 13 over gRPC: one node takes 200 ms longer. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, ms, percent, printFigure } from "../../support/figure.ts";
import { startShop } from "../support/shop.ts";

test("a slow node hardly shows in what callers see", async () => {
  await using shop = await startShop("grpc-slow");
  await shop.drive({ ratePerSecond: 150, seconds: 1 });
  const healthy = await shop.drive({ ratePerSecond: 150, seconds: 2 });
  const [victim] = shop.backends;
  if (victim === undefined) throw new Error("there is no backend");
  await victim.configure({ workMs: 205 });
  // The first calls find out; they are some of the slow ones that a percentile of the whole run allows.
  const before = performance.now();
  await sleep(0);
  const results = await shop.drive({ ratePerSecond: 150, seconds: 4 });
  const met = shop.recorder.startsOn(`http://${victim.address}`).filter(({ at }) => at >= before).length;
  const [own, was] = [results.ours.percentile(0.95), healthy.ours.percentile(0.95)];
  printFigure(
    "13 slow node over gRPC",
    `p95 ${ms(own)}, healthy ${ms(was)} (pass: twice that)`,
    `it got ${met} of ${count(results.ours.calls.length)} calls, ${percent(met, results.ours.calls.length)}`,
    `round_robin p95 ${ms(results.plain.percentile(0.95))}, hardened ${ms(results.hardened.percentile(0.95))}`,
  );
  expect(met, "calls that the slow node got").toBeGreaterThan(0);
  expect(results.ours.failed).toHaveLength(0);
  // Well below the 200 ms of the slow node it is the machine that is measured.
  expect(own).toBeLessThanOrEqual(Math.max(2 * was, 100));
  expect(results.plain.percentile(0.95)).toBeGreaterThan(200);
});
