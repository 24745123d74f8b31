/** Tests the share of its weight that a new node carries. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { warmUpShare } from "./warm-up.ts";

describe("warmUpShare", () => {
  it("grows in a straight line, from a tenth to all", () => {
    expect(
      [0, 500, 1_000, 2_500, 5_000, 9_999, 10_000, 20_000].map((age) => warmUpShare(age, 10_000)),
    ).toEqual([0.1, 0.1, 0.1, 0.25, 0.5, 0.9999, 1, 1]);
  });

  it("is all without a warm-up", () => {
    expect(warmUpShare(0, 0)).toBe(1);
  });

  it("never shrinks, and stays between a tenth and 1", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (one, other) => {
          const [younger, older] = [Math.min(one, other), Math.max(one, other)];
          const share = warmUpShare(younger, 10_000);
          expect(share).toBeGreaterThanOrEqual(0.1);
          expect(warmUpShare(older, 10_000)).toBeGreaterThanOrEqual(share);
          expect(warmUpShare(older, 10_000)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});
