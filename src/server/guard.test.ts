/** Tests of what a guard lets in: deadlines, limits, the event loop, and who goes first. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CallPriority } from "../core/contracts.ts";
import { AdaptiveLimit } from "../resilience/adaptive-limit.ts";
import { Guard, type GuardOptions } from "./guard.ts";

const never = Number.POSITIVE_INFINITY;

function createGuard(options: Partial<GuardOptions> = {}): Guard {
  return new Guard({
    inflight: never,
    turnMs: never,
    turn: { busyMs: () => 0 },
    pause: { workedMs: () => 0 },
    ...options,
  });
}

const letIn = (guard: Guard, priority: CallPriority, now = 0): boolean =>
  guard.admit(priority, never, false, now) === undefined;

/** How many calls of a priority it takes until it says no. */
function fill(guard: Guard, priority: CallPriority, now = 0): number {
  let taken = 0;
  while (taken < 1_000 && letIn(guard, priority, now)) taken++;
  return taken;
}

describe("a guard", () => {
  it("refuses a call whose deadline is over, and counts only what it lets in", () => {
    const guard = createGuard();
    expect(guard.admit("default", 100, false, 100)).toBe("deadline");
    expect(guard.admit("default", 101, false, 100)).toBeUndefined();
    expect(guard.inflight).toBe(1);
    guard.end("success", 1, 101);
    expect(guard.inflight).toBe(0);
  });

  it("has no limit unless it is given one", () => {
    expect(fill(createGuard(), "sheddable")).toBe(1_000);
    expect(createGuard().limit).toBe(never);
  });

  it("closes to sheddable calls first, and to critical ones last", () => {
    const guard = createGuard({ inflight: 20 });
    expect(letIn(guard, "critical")).toBe(true);
    expect(fill(guard, "sheddable")).toBe(13);
    expect(fill(guard, "default")).toBe(4);
    expect(fill(guard, "critical")).toBe(2);
    expect(guard.admit("critical", never, false, 0)).toBe("concurrency");
    guard.end("success", 1, 0);
    expect(letIn(guard, "sheddable")).toBe(false);
    expect(letIn(guard, "default")).toBe(false);
    expect(letIn(guard, "critical")).toBe(true);
  });

  it("keeps no room for critical calls where none come in", () => {
    const guard = createGuard({ inflight: 20 });
    expect(fill(guard, "default")).toBe(20);
    for (let call = 0; call < 20; call++) guard.end("success", 1, 0);
    letIn(guard, "critical", 5_000);
    guard.end("success", 1, 5_000);
    expect(fill(guard, "default", 14_999)).toBe(18);
    expect(fill(guard, "default", 15_000)).toBe(2);
  });

  it("lets one call of any kind into the smallest limit", () => {
    for (const priority of ["critical", "default", "sheddable"] as const) {
      const guard = createGuard({ inflight: 1 });
      expect(fill(guard, priority)).toBe(1);
    }
  });

  it("takes in no more in a turn of the event loop that is long already, by priority", () => {
    let busyMs = 0;
    const guard = createGuard({ turnMs: 100, turn: { busyMs: () => busyMs } });
    const refusedAt = (ms: number) => {
      busyMs = ms;
      return (["critical", "default", "sheddable"] as const).map((priority) =>
        guard.admit(priority, never, false, 0),
      );
    };
    expect(refusedAt(50)).toEqual([undefined, undefined, undefined]);
    expect(refusedAt(51)).toEqual([undefined, undefined, "event loop"]);
    expect(refusedAt(100)).toEqual([undefined, undefined, "event loop"]);
    expect(refusedAt(101)).toEqual([undefined, "event loop", "event loop"]);
    expect(refusedAt(201)).toEqual(["event loop", "event loop", "event loop"]);
    expect(guard.inflight).toBe(8);
  });

  it("takes in no new connections while the event loop does not come to a pause", () => {
    let workedMs = 250;
    const guard = createGuard({ turnMs: 100, pause: { workedMs: () => workedMs } });
    const isRefused = (priority: CallPriority, isFresh: boolean) =>
      guard.admit(priority, never, isFresh, 0) === "event loop";
    expect(isRefused("sheddable", true)).toBe(true);
    expect(isRefused("default", true)).toBe(false);
    workedMs = 251;
    expect(isRefused("default", true)).toBe(true);
    expect(isRefused("default", false)).toBe(false);
    expect(isRefused("critical", true)).toBe(false);
  });

  it("never has more in flight than its limit, nor less than none, whatever comes", () => {
    const step = fc.record({
      priority: fc.constantFrom<CallPriority>("critical", "default", "sheddable"),
      ends: fc.nat(3),
      afterMs: fc.nat(2_000),
      result: fc.constantFrom("success", "failure", "ignored"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const adaptive = new AdaptiveLimit({ min: 2, max: 12, initial: 6 });
        const guard = createGuard({ adaptive, inflight: 10 });
        let now = 0;
        let open = 0;
        for (const { priority, ends, afterMs, result } of steps) {
          now += afterMs;
          const { limit } = guard;
          if (letIn(guard, priority, now)) {
            open++;
            expect(open).toBeLessThanOrEqual(limit);
          }
          for (let count = 0; count < ends && open > 0; count++, open--) guard.end(result, 5, now);
          expect(guard.inflight).toBe(open);
          expect(adaptive.inflight).toBe(open);
        }
      }),
    );
  });
});
