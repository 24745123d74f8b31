/** Tests what it means that time ran out: for an attempt, for a body that stands still, and for the node. */
import { describe, expect, it } from "vitest";
import { attemptDueAt, bodyDueAt, hadFairChance } from "./time-up.ts";

describe("hadFairChance", () => {
  it("takes half of the call's time", () => {
    expect([499, 500, 501].map((waitedMs) => hadFairChance(waitedMs, 1_000))).toEqual([false, true, true]);
  });

  it("where the deadline is inherited, takes twice what the node usually needs as well", () => {
    expect([79, 80].map((waitedMs) => hadFairChance(waitedMs, 100, 40))).toEqual([false, true]);
    expect([499, 500].map((waitedMs) => hadFairChance(waitedMs, 1_000, 40))).toEqual([false, true]);
  });
});

describe("attemptDueAt", () => {
  it("is the end of the attempt's time", () => {
    expect(attemptDueAt(0, 100, 1_000)).toBe(1_100);
    expect(attemptDueAt(60, 100, 1_060)).toBe(1_100);
    expect(attemptDueAt(98, 100, 1_098)).toBe(1_100);
  });

  it("is now once the time is up, for timers that are a little early too", () => {
    expect([99, 100, 1_000].map((hadMs) => attemptDueAt(hadMs, 100, 1_100))).toEqual([1_100, 1_100, 1_100]);
  });

  it("is never for an attempt without a limit", () => {
    expect(attemptDueAt(4_000, Number.POSITIVE_INFINITY, 5_000)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("bodyDueAt", () => {
  const wait = { heardAt: 1_000, idleMs: 300, isPaused: false, lateMs: 0 };

  it("is the longest wait after the latest piece", () => {
    expect(bodyDueAt(wait, 1_200)).toBe(1_300);
    expect(bodyDueAt(wait, 1_300)).toBe(1_300);
  });

  it("starts anew while the caller holds the body up", () => {
    expect(bodyDueAt({ ...wait, isPaused: true }, 1_300)).toBe(1_600);
  });

  it("leaves out the time in which this process stood still", () => {
    expect(bodyDueAt({ ...wait, lateMs: 50 }, 1_350)).toBe(1_300);
    expect(bodyDueAt({ ...wait, lateMs: 200 }, 1_500)).toBe(1_600);
  });

  it("is never now where there is an excuse, however short the wait", () => {
    expect(bodyDueAt({ ...wait, idleMs: 0, isPaused: true }, 1_300)).toBe(1_301);
  });
});
