/** Tests that seeded chance is the same each time, and even. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSeededRandom } from "./random.ts";

describe("createSeededRandom", () => {
  it("gives the numbers of Mulberry32", () => {
    const random = createSeededRandom(1);
    expect(Array.from({ length: 3 }, () => Math.floor(random() * 2 ** 32))).toEqual([
      2693262067, 11749833, 2265367787,
    ]);
  });

  it("repeats for the same seed, differs for others, and stays in [0, 1)", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const draws = (from: number) => {
          const random = createSeededRandom(from);
          return Array.from({ length: 20 }, () => random());
        };
        expect(draws(seed)).toEqual(draws(seed));
        expect(draws(seed)).not.toEqual(draws(seed + 1));
        for (const number of draws(seed)) {
          expect(number).toBeGreaterThanOrEqual(0);
          expect(number).toBeLessThan(1);
        }
      }),
    );
  });

  it("spreads evenly", () => {
    const random = createSeededRandom(42);
    const bins = new Array<number>(10).fill(0);
    for (let draw = 0; draw < 100_000; draw++) {
      const bin = Math.floor(random() * 10);
      bins[bin] = (bins[bin] as number) + 1;
    }
    const chiSquare = bins.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    // 9 degrees of freedom, p = .01.
    expect(chiSquare).toBeLessThan(21.7);
  });
});
