/** Tests whether and when a call is tried again. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { type FailedAttempt, type RetryRules, retryDelayMs } from "./retry.ts";

const rules: RetryRules = {
  attempts: 3,
  statuses: new Set([502, 503, 504]),
  methods: new Set(["GET"]),
  backoffMs: 25,
  maxBackoffMs: 250,
};
const reset = failure("reset", "ECONNRESET");
const failed: FailedAttempt = {
  outcome: reset,
  number: 1,
  unsent: false,
  repeatable: true,
  retryAfterMs: 0,
  remainingMs: 10_000,
};
const delay = (given: Partial<FailedAttempt>, random = 0.5, changed: Partial<RetryRules> = {}) =>
  retryDelayMs({ ...failed, ...given }, { ...rules, ...changed }, () => random);

describe("retryDelayMs", () => {
  it("counts all tries", () => {
    expect([1, 2, 3, 4].map((number) => delay({ number }) !== undefined)).toEqual([true, true, false, false]);
    expect(delay({}, 0.5, { attempts: 1 })).toBeUndefined();
  });

  it("tries again only what may run twice, or was not sent", () => {
    expect(delay({ repeatable: false })).toBeUndefined();
    expect(delay({ repeatable: false, unsent: true })).toBeDefined();
  });

  it("waits with full jitter, twice as long each time, up to the longest", () => {
    expect([1, 2, 3, 4, 5, 6].map((number) => delay({ number }, 1, { attempts: 9 }))).toEqual([
      25, 50, 100, 200, 250, 250,
    ]);
    expect(delay({}, 0)).toBe(0);
  });

  it("goes on at once the first time when nothing was sent", () => {
    expect(delay({ unsent: true })).toBe(0);
    expect(delay({ unsent: true, number: 2 })).toBe(25);
    expect(delay({ unsent: true, outcome: ignored("shortage", "EMFILE") })).toBe(12.5);
  });

  it.each<[Outcome, boolean]>([
    [success, false],
    [failure("status", "503"), true],
    [failure("timeout", "x"), true],
    [failure("refused", "x"), true],
    [failure("error", "x"), true],
    [ignored("shortage", "EMFILE"), true],
    [ignored("aborted", "x"), false],
    [ignored("deadline", "x"), false],
    [ignored("call", "x"), false],
  ])("after %j: %s", (outcome, again) => {
    expect(delay({ outcome }) !== undefined).toBe(again);
    expect(delay({ outcome, unsent: true }) !== undefined).toBe(again);
  });

  it("waits as long as the node asks", () => {
    expect(delay({ retryAfterMs: 2_000 })).toBe(2_000);
    expect(delay({ retryAfterMs: 1 })).toBe(12.5);
  });

  it("does not wait up to or past the call's end", () => {
    expect(delay({ remainingMs: 12.5 })).toBeUndefined();
    expect(delay({ remainingMs: 12.6 })).toBe(12.5);
    expect(delay({ retryAfterMs: 10_000 })).toBeUndefined();
    expect(delay({ unsent: true, remainingMs: 0 })).toBeUndefined();
  });

  it("never names a wait that is negative, or not below what remains", () => {
    const given = fc.record({
      number: fc.integer({ min: 1, max: 20 }),
      unsent: fc.boolean(),
      retryAfterMs: fc.double({ min: 0, max: 1e5, noNaN: true }),
      remainingMs: fc.double({ min: -10, max: 1e5, noNaN: true }),
    });
    fc.assert(
      fc.property(given, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (attempt, random) => {
        const waitMs = delay(attempt, random, { attempts: 10 });
        if (waitMs === undefined) return;
        expect(attempt.number).toBeLessThan(10);
        expect(waitMs).toBeGreaterThanOrEqual(attempt.retryAfterMs);
        expect(waitMs).toBeLessThan(attempt.remainingMs);
      }),
    );
  });
});
