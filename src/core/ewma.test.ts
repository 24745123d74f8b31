/** Tests the two steps of a moving average. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { blend, fade } from "./ewma.ts";

const value = fc.double({ min: 0, max: 1e6, noNaN: true });
const pause = fc.double({ min: 0, max: 1e5, noNaN: true });

describe("fade", () => {
  it("leaves 1/e of the distance after tau, and nothing is done for no time", () => {
    expect(fade(100, 0, 5_000, 5_000)).toBeCloseTo(100 / Math.E, 9);
    expect(fade(0, 100, 5_000, 5_000)).toBeCloseTo(100 - 100 / Math.E, 9);
    expect(fade(7, 100, 0, 5_000)).toBe(7);
    expect(fade(7, 100, -5, 5_000)).toBe(7);
  });

  it("stays between the value and its target, and comes to the same in one step as in two", () => {
    fc.assert(
      fc.property(value, value, pause, pause, (from, target, first, second) => {
        const once = fade(from, target, first + second, 5_000);
        const twice = fade(fade(from, target, first, 5_000), target, second, 5_000);
        expect(once).toBeCloseTo(twice, 4);
        expect(once).toBeGreaterThanOrEqual(Math.min(from, target) - 1e-6);
        expect(once).toBeLessThanOrEqual(Math.max(from, target) + 1e-6);
      }),
    );
  });
});

describe("blend", () => {
  it("moves by its gain", () => {
    expect(blend(10, 20, 0.1)).toBe(11);
    expect(blend(10, 20, 1)).toBe(20);
  });

  it("stays between the value and the sample", () => {
    fc.assert(
      fc.property(value, value, fc.double({ min: 0.01, max: 1, noNaN: true }), (from, sample, gain) => {
        const blended = blend(from, sample, gain);
        expect(blended).toBeGreaterThanOrEqual(Math.min(from, sample) - 1e-6);
        expect(blended).toBeLessThanOrEqual(Math.max(from, sample) + 1e-6);
      }),
    );
  });
});
