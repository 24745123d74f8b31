/** Fault 12: a sinkhole: one node answers 500 at once and so looks like the fastest and least busy of all. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { RetryOptions } from "../../src/index.ts";
import { type DriveResult, drive } from "../support/drive.ts";
import { count, percent, printFigure } from "../support/figure.ts";
import { first, startService } from "../support/service.ts";

const rate = 1_000;

/** The drive, and how many of its attempts the sinkhole got. */
async function driveWithSinkhole(
  name: string,
  retry: false | RetryOptions,
): Promise<{ result: DriveResult; swallowed: number; retries: number }> {
  await using service = await startService(name, 5, { workMs: 5 }, { retry });
  const { recorder } = service;
  const victim = first(service.backends, "backend");
  const driving = drive({ ratePerSecond: rate, seconds: 8 }, () => service.call());
  await sleep(1_000);
  await victim.configure({ status: 500 });
  const result = await driving;
  const swallowed = recorder.endsOn(victim.address).filter(({ detail }) => detail === "500").length;
  return { result, swallowed, retries: recorder.retries.length };
}

test("a sinkhole fails no call when 500 is retried", async () => {
  const { result, swallowed, retries } = await driveWithSinkhole("sinkhole-retried", {
    statuses: [500, 502, 503, 504],
  });
  printFigure(
    "12 sinkhole, with retry",
    `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
    `${swallowed} attempts were answered 500`,
    `${retries} retries`,
    `${count(result.achievedRate)} calls/s`,
  );
  expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(swallowed).toBeGreaterThan(0);
  expect(retries).toBeGreaterThanOrEqual(swallowed);
  expect(result.failed, result.describeFailures()).toHaveLength(0);
});

test("a sinkhole fails at most 0.5% of the calls when nothing is retried", async () => {
  const { result, swallowed, retries } = await driveWithSinkhole("sinkhole-once", false);
  printFigure(
    "12 sinkhole, without retry",
    `${percent(result.failed.length, result.calls.length)} failed, ${result.failed.length} of ${count(result.calls.length)} (pass: 0.5%)`,
    `${swallowed} attempts were answered 500`,
    `${count(result.achievedRate)} calls/s`,
  );
  expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(retries).toBe(0);
  expect(swallowed).toBeGreaterThan(0);
  expect(result.failed.length, result.describeFailures()).toBe(swallowed);
  expect(result.failed.length).toBeLessThanOrEqual(0.005 * result.calls.length);
});
