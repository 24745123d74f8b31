/** Tests what a retry budget grants, in every stretch of 10 s. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RetryBudget } from "./retry-budget.ts";

describe("RetryBudget", () => {
  it("grants the reserve at once, and no more", () => {
    const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 10 });
    const granted = Array.from({ length: 150 }, () => budget.withdraw(0)).filter(Boolean);
    expect(granted).toHaveLength(100);
    expect(budget.available(0)).toBe(0);
  });

  it("grants a share of the calls", () => {
    const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 0 });
    for (let call = 1; call <= 100; call++) {
      budget.deposit(call);
      expect(budget.withdraw(call)).toBe(call % 5 === 0);
    }
  });

  it("takes nothing when it refuses", () => {
    const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0 });
    budget.deposit(0);
    for (let time = 0; time < 10; time++) expect(budget.withdraw(0)).toBe(false);
    budget.deposit(0);
    expect(budget.withdraw(0)).toBe(true);
    expect(budget.withdraw(0)).toBe(false);
  });

  it("grants nothing with a ratio and a rate of 0", () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 0 });
    for (let call = 0; call < 1_000; call++) budget.deposit(call);
    expect(budget.withdraw(1_000)).toBe(false);
  });

  it("has its reserve back after 10 s, a little more for the slots", () => {
    const budget = new RetryBudget({ ratio: 0, minPerSecond: 0.1 });
    expect(budget.withdraw(99)).toBe(true);
    expect(budget.withdraw(10_099)).toBe(false);
    expect(budget.withdraw(10_200)).toBe(true);
  });

  it("keeps up with a steady load within two hundredths of its ratio", () => {
    const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 0 });
    let granted = 0;
    for (let now = 0; now < 60_000; now++) {
      budget.deposit(now);
      if (now >= 30_000 && budget.withdraw(now)) granted++;
      else if (now < 30_000) budget.withdraw(now);
    }
    expect(granted / 30_000).toBeGreaterThan(0.196);
    expect(granted / 30_000).toBeLessThanOrEqual(0.2);
  });

  /**
   * The guarantee: of any 10 s that end with a granted retry, the retries are at most ratio * calls + 10 *
   * minPerSecond, over the calls of these same 10 s.
   */
  it("grants no more in any 10 s than the calls of these 10 s allow", () => {
    const step = fc.record({
      pauseMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 4_000 })),
      calls: fc.nat(30),
      tries: fc.nat(30),
    });
    const options = fc.record({
      ratio: fc.constantFrom(0, 0.1, 0.2, 1, 3),
      minPerSecond: fc.constantFrom(0, 0.1, 0.5, 1, 2),
    });
    fc.assert(
      fc.property(options, fc.array(step, { maxLength: 60 }), ({ ratio, minPerSecond }, steps) => {
        const budget = new RetryBudget({ ratio, minPerSecond });
        const calls: number[] = [];
        const granted: number[] = [];
        let now = 0;
        for (const { pauseMs, calls: made, tries } of steps) {
          now += pauseMs;
          for (let call = 0; call < made; call++) {
            budget.deposit(now);
            calls.push(now);
          }
          for (let time = 0; time < tries; time++) if (budget.withdraw(now)) granted.push(now);
          const within = (times: readonly number[]) => times.filter((at) => at > now - 10_000).length;
          if (granted.at(-1) !== now) continue;
          expect(within(granted)).toBeLessThanOrEqual(ratio * within(calls) + 10 * minPerSecond + 1e-9);
        }
      }),
    );
  });
});
