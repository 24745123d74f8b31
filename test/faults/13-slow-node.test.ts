/** Fault 13: one node becomes 200 ms slower than the others. */
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, ms, percent, printFigure } from "../support/figure.ts";
import { first, startService } from "../support/service.ts";

const rate = 1_000;

test("a node that is 200 ms slower leaves p99 within twice that of the healthy run", async () => {
  // As many workers as it could ever need: it is slow, not overloaded.
  await using service = await startService("slow", 5, { workMs: 5, workers: 1_000 });
  const { recorder } = service;
  const victim = first(service.backends, "backend");
  const call = (): Promise<void> => service.call();

  // Connections and compiler are cold at first; that belongs to neither of the two runs that are compared.
  await drive({ ratePerSecond: rate, seconds: 1 }, call);
  const before = await drive({ ratePerSecond: rate, seconds: 3 }, call);
  await victim.configure({ workMs: 205 });
  const startsBefore = recorder.starts.length;
  const slow = await drive({ ratePerSecond: rate, seconds: 8 }, call);
  const starts = recorder.starts.slice(startsBefore);
  await victim.configure({ workMs: 5 });
  const after = await drive({ ratePerSecond: rate, seconds: 3 }, call);

  // The machine is not equally busy all the time: the healthy run is before and after.
  const healthy = Math.max(before.percentile(0.99), after.percentile(0.99));
  const onVictim = starts.filter(({ address }) => address === victim.address);
  const slowAttempts = recorder
    .endsOn(victim.address)
    .filter(({ latencyMs }) => latencyMs !== undefined && latencyMs >= 200);
  printFigure(
    "13 slow node",
    `p99 ${ms(slow.percentile(0.99))}, healthy ${ms(before.percentile(0.99))} before and ${ms(after.percentile(0.99))} after (pass: twice that)`,
    `p99.9 ${ms(slow.percentile(0.999))}, healthy ${ms(before.percentile(0.999))}`,
    `share of the slow node ${percent(onVictim.length, starts.length)} (fair: 20%, pass: 0.5%)`,
    `${slowAttempts.length} attempts took the 200 ms`,
    `${slow.failed.length} failed (pass: 0)`,
    `${count(slow.achievedRate)} calls/s`,
  );

  expect(slow.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(slow.failed, slow.describeFailures()).toHaveLength(0);
  expect(slowAttempts.length).toBeGreaterThan(0);
  expect(onVictim.length).toBeLessThan(0.005 * starts.length);
  expect(slow.percentile(0.99)).toBeLessThanOrEqual(2 * healthy);
});
