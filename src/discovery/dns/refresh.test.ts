/** Tests of when DNS is asked again. */
import { expect, it } from "vitest";
import { longestTimerMs } from "../../core/option-reader.ts";
import { createSeededRandom } from "../../core/random.ts";
import { Refresh } from "./refresh.ts";

const bounds = { minRefreshMs: 1_000, maxRefreshMs: 30_000 };

it("asks when the time to live has ended, and up to a tenth later, within its bounds", () => {
  const random = createSeededRandom(3);
  const refresh = new Refresh({ ...bounds, random });
  for (let round = 0; round < 1_000; round++) {
    for (const [ttlMs, least] of [
      [0, 1_000],
      [undefined, 1_000],
      [7_000, 7_000],
      [86_400_000, 30_000],
    ] as const) {
      const delayMs = refresh.afterRecords(ttlMs);
      expect(delayMs).toBeGreaterThanOrEqual(least);
      expect(delayMs).toBeLessThan(least * 1.1);
    }
  }
});

it("waits no longer than a timer can, which would else fire at once", () => {
  const refresh = new Refresh({
    minRefreshMs: longestTimerMs,
    maxRefreshMs: longestTimerMs,
    random: () => 0.9,
  });
  expect(refresh.afterRecords(1_000)).toBe(longestTimerMs);
});

it("waits longer with each failure, never a moment only, and starts over after an answer", () => {
  const refresh = new Refresh({ ...bounds, random: () => 0 });
  const delays = Array.from({ length: 7 }, () => refresh.afterFailure());
  expect(delays).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  refresh.afterRecords(1_000);
  expect(refresh.afterFailure()).toBe(500);
});
