/** Tests of the pause that a signal ends. */
import { expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { sleep } from "./sleep.ts";

it("ends after its time, at once when aborted, and holds no timer either way", async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  const ends: string[] = [];
  void sleep(clock, 100, controller.signal).then(() => ends.push("by time"));
  void sleep(clock, 1_000, controller.signal).then(() => ends.push("by signal"));
  await clock.advanceAsync(99);
  expect(ends).toEqual([]);
  await clock.advanceAsync(1);
  expect(ends).toEqual(["by time"]);
  controller.abort();
  await clock.advanceAsync(0);
  expect(ends).toEqual(["by time", "by signal"]);
  await sleep(clock, 1_000, controller.signal);
  expect(clock.pendingTimers).toBe(0);
});
