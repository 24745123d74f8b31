/** Fault 15: every node dies; then one comes back, then all. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Backend } from "../../src/testing/backend.ts";
import { drive } from "../support/drive.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { first, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const rate = 200;

test("with all nodes dead calls still go out, and find the first that is back", async () => {
  await using service = await startService("all-die", 5, { workMs: 5 });
  const { balancer, backends, recorder } = service;
  const revived: Backend[] = [];
  // The first that will be back is the one that was liked least: what was before must not keep calls from it.
  const back = first(backends, "backend");
  await back.configure({ workMs: 40 });
  const successesSince = (address: string, since: number): number =>
    recorder.endsOn(address).filter(({ outcome, at }) => outcome === "success" && at >= since).length;

  try {
    const startedAt = performance.now();
    const driving = drive({ ratePerSecond: rate, seconds: 12 }, () => service.call());
    await sleep(1_000);
    await Promise.all(backends.map((backend) => backend.kill()));
    const deadAt = performance.now();
    await sleep(4_000);
    const wasFailingOpen = balancer.failingOpen;
    const spread = backends.map(
      ({ address }) => recorder.startsOn(address).filter(({ at }) => at >= deadAt + 100).length,
    );

    revived.push(await back.restart());
    const oneBackAt = performance.now();
    const firstSuccessMs = await until(
      "a success after one node is back",
      () => successesSince(back.address, deadAt) > 0,
      5_000,
    );
    // Long enough for the others to have failed the trials that the return of the first brings forward.
    await sleep(1_500);

    revived.push(...(await Promise.all(backends.slice(1).map((backend) => backend.restart()))));
    const allBackAt = performance.now();
    const allUsedMs = await until(
      "a success on every node after all are back",
      () => backends.every(({ address }) => successesSince(address, allBackAt - 1_000) > 0),
      30_000,
    );
    const result = await driving;

    const failedWhileDead = result.failed.filter(({ dueMs }) => startedAt + dueMs < oneBackAt);
    const failedAfter = result.failed.filter(({ dueMs }) => startedAt + dueMs >= oneBackAt + 1_000);
    printFigure(
      "15 all nodes die",
      `${failedWhileDead.length} calls failed while all were dead, attempts by node ${spread.join(" ")}, failing open: ${wasFailingOpen}`,
      `first success ${ms(firstSuccessMs)} after one was back (pass: 1,000 ms)`,
      `failed later than that: ${failedAfter.length} (pass: 0)`,
      `all used ${ms(allUsedMs)} after all were back (pass: 2,000 ms)`,
      `${count(result.achievedRate)} calls/s`,
    );

    expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(failedWhileDead.length).toBeGreaterThan(0);
    expect(wasFailingOpen).toBe(true);
    const attempts = spread.reduce((sum, starts) => sum + starts, 0);
    for (const starts of spread) expect(starts).toBeGreaterThan(0.05 * attempts);
    expect(firstSuccessMs).toBeLessThanOrEqual(1_000);
    expect(failedAfter, result.describeFailures()).toHaveLength(0);
    expect(allUsedMs).toBeLessThanOrEqual(2_000);
    expect(balancer.failingOpen).toBe(false);
  } finally {
    await Promise.all(revived.map((backend) => backend.kill()));
  }
});
