/** Tests the growth and the jitter of waits. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { equalJitterMs, exponentialMs, fullJitterMs } from "./backoff.ts";

describe("exponentialMs", () => {
  it("doubles from the base up to the longest", () => {
    expect([0, 1, 2, 3, 4, 5].map((step) => exponentialMs(step, 100, 1_000))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
  });

  it("stays finite and in range for any step", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: 0, max: 1e9 }),
        (step, base, max) => {
          const delayMs = exponentialMs(step, base, max);
          expect(delayMs).toBeLessThanOrEqual(max);
          expect(delayMs).toBeGreaterThanOrEqual(Math.min(base, max));
        },
      ),
    );
  });
});

describe("jitter", () => {
  it("is anywhere below the exponential when full, in its upper half when equal", () => {
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.nat(20), chance, (step, random) => {
        const most = exponentialMs(step, 10, 5_000);
        expect(fullJitterMs(step, 10, 5_000, () => random)).toBe(random * most);
        const equal = equalJitterMs(step, 10, 5_000, () => random);
        expect(equal).toBeGreaterThanOrEqual(most / 2);
        expect(equal).toBeLessThanOrEqual(most);
      }),
    );
  });
});
