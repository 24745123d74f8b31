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
  const healthy = await drive({ ratePerSecond: rate, seconds: 4 }, call);
  await victim.configure({ workMs: 205 });
  const startsBefore = recorder.starts.length;
  const slow = await drive({ ratePerSecond: rate, seconds: 8 }, call);

  const starts = recorder.starts.slice(startsBefore);
  const onVictim = starts.filter(({ address }) => address === victim.address);
  const slowAttempts = recorder
    .endsOn(victim.address)
    .filter(({ latencyMs }) => latencyMs !== undefined && latencyMs >= 200);
  printFigure(
    "13 slow node",
    `p99 ${ms(slow.percentile(0.99))}, healthy ${ms(healthy.percentile(0.99))} (pass: twice that)`,
    `p99.9 ${ms(slow.percentile(0.999))}, healthy ${ms(healthy.percentile(0.999))}`,
    `share of the slow node ${percent(onVictim.length, starts.length)} (fair: 20%, pass: 1%)`,
    `${slowAttempts.length} attempts took the 200 ms`,
    `${slow.failed.length} failed (pass: 0)`,
    `${count(slow.achievedRate)} calls/s`,
  );

  expect(slow.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(slow.failed, slow.describeFailures()).toHaveLength(0);
  expect(slowAttempts.length).toBeGreaterThan(0);
  expect(onVictim.length).toBeLessThan(0.01 * starts.length);
  expect(slow.percentile(0.99)).toBeLessThanOrEqual(2 * healthy.percentile(0.99));
});
