/** Tests the sliding sum against one that remembers everything. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SlidingSum } from "./window.ts";

describe("SlidingSum", () => {
  it("is 0 at first", () => {
    expect(new SlidingSum(1_000).sum(0)).toBe(0);
    expect(new SlidingSum(1_000).sum(123_456)).toBe(0);
  });

  it("counts an amount for at least the window less a slot, and at most for the window", () => {
    const sum = new SlidingSum(1_000, 10);
    sum.add(1, 1_000);
    sum.add(1, 1_099);
    expect(sum.sum(1_999)).toBe(2);
    expect(sum.sum(2_000)).toBe(0);
  });

  it("forgets everything after a long pause, and goes on", () => {
    const sum = new SlidingSum(1_000);
    sum.add(5, 0);
    sum.add(3, 1_000_000);
    expect(sum.sum(1_000_001)).toBe(3);
  });

  it("can be cleared, and goes on", () => {
    const sum = new SlidingSum(1_000);
    sum.add(5, 100);
    sum.clear();
    expect(sum.sum(100)).toBe(0);
    sum.add(2, 150);
    expect(sum.sum(1_050)).toBe(2);
    expect(sum.sum(1_100)).toBe(0);
  });

  it("takes what comes late as of now", () => {
    const sum = new SlidingSum(1_000);
    sum.add(1, 5_000);
    sum.add(1, 4_000);
    expect(sum.sum(5_999)).toBe(2);
    expect(sum.sum(6_000)).toBe(0);
  });

  it("equals the sum of what is within the window, to the slot, and leaves no rounding behind", () => {
    const step = fc.record({
      pauseMs: fc.oneof(
        fc.constant(0),
        fc.double({ min: 0, max: 400, noNaN: true }),
        fc.integer({ min: 0, max: 3_000 }),
      ),
      amount: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.double({ min: 0, max: 1, noNaN: true })),
    });
    const slots = fc.integer({ min: 1, max: 20 });
    fc.assert(
      fc.property(slots, fc.array(step, { maxLength: 100 }), (count, steps) => {
        const slotMs = 1_000 / count;
        const sum = new SlidingSum(1_000, count);
        const added: { readonly amount: number; readonly at: number }[] = [];
        let now = 0;
        for (const { pauseMs, amount } of steps) {
          now += pauseMs;
          sum.add(amount, now);
          added.push({ amount, at: now });
          const total = (from: number) =>
            added.filter(({ at }) => at > from).reduce((all, { amount: one }) => all + one, 0);
          const seen = sum.sum(now);
          expect(seen).toBeGreaterThanOrEqual(total(now - 1_000 + slotMs) - 1e-9);
          expect(seen).toBeLessThanOrEqual(total(now - 1_000 - 1e-6) + 1e-9);
        }
        // A little later than the end: most slots here are no whole number of milliseconds.
        expect(sum.sum(now + 1_000 + 1e-6)).toBe(0);
        // Slot by slot, so that each amount leaves by itself.
        sum.add(0.1, now + 2_000);
        sum.add(0.2, now + 2_000 + slotMs);
        for (let later = 0; later <= 2 * count; later++) {
          expect(sum.sum(now + 2_000 + later * slotMs)).toBeGreaterThanOrEqual(0);
        }
        expect(sum.sum(now + 2_000 + 2 * count * slotMs)).toBe(0);
      }),
    );
  });
});
