/** Fault 2 over gRPC: a node hangs with its connections open. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { getOrder } from "../../../bench/faults/grpc-method.ts";
import { totalMs } from "../../../bench/faults/plan.ts";
import { count, ms, printFigure } from "../../support/figure.ts";
import { describePeers, failures, findBusy, startShop } from "../support/shop.ts";

/** For each of the three. */
const rate = 200;

test("a frozen node fails no call and slows few", async () => {
  const options = { timeouts: { attemptMs: 300 }, connections: {}, retry: { methods: [getOrder.path] } };
  // With 50 ms for each call, a node of five has two of each system's calls in flight on average.
  await using shop = await startShop({ workMs: 50, callMs: totalMs, options });
  const healthy = await shop.drive({ ratePerSecond: rate, seconds: 1 });
  const driving = shop.drive({ ratePerSecond: rate, seconds: 3 });
  await sleep(300);
  const { backend, inflight } = await findBusy(shop, 2);
  backend.freeze();
  await sleep(2_400);
  backend.thaw();
  const results = await driving;
  const { ours, plain, hardened } = results;
  const timeouts = shop.recorder
    .endsOn(`http://${backend.address}`)
    .filter(({ reason }) => reason === "timeout");
  const healthySlowest = healthy.ours.percentile(0.999);
  printFigure(
    "2 node hangs over gRPC",
    `${ours.failed.length} of ${count(ours.calls.length)} failed (pass: 0)`,
    `p99.9 ${ms(ours.percentile(0.999))} (pass: 400 ms), healthy ${ms(healthySlowest)}`,
    describePeers({ plain: ms(plain.percentile(0.999)), hardened: ms(hardened.percentile(0.999)) }),
    `${inflight} calls were in flight at the freeze, ${timeouts.length} attempts timed out`,
    failures(results),
  );
  expect(timeouts.length, "calls that the freeze caught").toBeGreaterThanOrEqual(2);
  expect(plain.failed.length, "calls of round_robin that the freeze caught").toBeGreaterThanOrEqual(2);
  expect(ours.failed, ours.describeFailures()).toHaveLength(0);
  // Of so few calls p99.9 is the slowest but one, which a pause of the machine decides: the five slowest are left out. What
  // the machine adds to a healthy call it may add twice to one that is tried twice.
  expect(ours.percentile(0.995)).toBeLessThanOrEqual(400 + Math.max(400, 2 * healthySlowest));
});
