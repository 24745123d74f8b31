/** Tests of the process's own clock where its timers are not those of Node.js. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { systemClock } from "./clock.ts";
import { longestTimerMs } from "./option-reader.ts";

// Node.js's own timers, which know no other clock, in virtual time. As there, one that is too long fires at once.
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const dayMs = 86_400_000;

it("waits for longer than a timer of Node.js can", () => {
  const fired: string[] = [];
  systemClock.schedule(() => fired.push("60 days"), 60 * dayMs);
  systemClock.schedule(() => fired.push("a timer's longest"), longestTimerMs);
  systemClock.schedule(() => fired.push("never"), Number.POSITIVE_INFINITY);
  vi.advanceTimersByTime(longestTimerMs - 1);
  expect(fired).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(fired).toEqual(["a timer's longest"]);
  vi.advanceTimersByTime(60 * dayMs - longestTimerMs - 1);
  expect(fired).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(fired).toEqual(["a timer's longest", "60 days"]);
  vi.advanceTimersByTime(1_000 * dayMs);
  expect(fired).toHaveLength(2);
});

it("cancels such a timer in whatever part it is, and keeps a process alive with it or not", () => {
  let fired = 0;
  const timers = [1, 2, 3].map(() => systemClock.schedule(() => fired++, 60 * dayMs));
  timers[0]?.cancel();
  expect(vi.getTimerCount()).toBe(2);
  timers[1]?.keepAlive(true);
  const start = vi.spyOn(globalThis, "setTimeout");
  vi.advanceTimersByTime(30 * dayMs);
  const handles = start.mock.results.map(({ value }) => value as NodeJS.Timeout);
  expect(handles.map((handle) => handle.hasRef())).toEqual([true, false]);
  timers[1]?.cancel();
  timers[2]?.cancel();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(60 * dayMs);
  expect(fired).toBe(0);
});
