/** The shares by formula equal those of every sequence of draws. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { sampledShares } from "./sampled-shares.ts";

const band = 1.25;

/** The same by trying every sequence of draws. */
function byEnumeration(costs: readonly number[], weights: readonly number[], draws: number): number[] {
  const shares = new Array<number>(costs.length).fill(0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const visit = (sequence: readonly number[], chance: number): void => {
    if (sequence.length < draws) {
      for (const [index, weight] of weights.entries()) {
        visit([...sequence, index], (chance * weight) / total);
      }
      return;
    }
    const least = Math.min(...sequence.map((index) => costs[index] as number));
    const winner = sequence.find((index) => (costs[index] as number) <= band * least) as number;
    shares[winner] = (shares[winner] as number) + chance;
  };
  visit([], 1);
  return shares;
}

test("equal those of every sequence of draws", () => {
  const nodes = fc.array(
    fc.record({ cost: fc.integer({ min: 4, max: 8 }), weight: fc.integer({ min: 1, max: 5 }) }),
    {
      minLength: 1,
      maxLength: 5,
    },
  );
  fc.assert(
    fc.property(nodes, fc.integer({ min: 1, max: 4 }), (list, draws) => {
      const costs = list.map(({ cost }) => cost);
      const weights = list.map(({ weight }) => weight);
      const shares = sampledShares(Float64Array.from(costs), Float64Array.from(weights), draws, band);
      for (const [index, expected] of byEnumeration(costs, weights, draws).entries()) {
        expect(shares[index]).toBeCloseTo(expected, 10);
      }
    }),
    { seed: 1 },
  );
});

test("leave out what weighs nothing", () => {
  const shares = sampledShares(Float64Array.of(1, 2, 2), Float64Array.of(0, 1, 3), 16, band);
  expect(shares[0]).toBe(0);
  expect(shares[1]).toBeCloseTo(0.25, 10);
  expect(shares[2]).toBeCloseTo(0.75, 10);
  expect(sampledShares(Float64Array.of(1), Float64Array.of(0), 16, band)).toEqual(Float64Array.of(0));
});

test("add up to 1 for weights of very different size", () => {
  const weights = Float64Array.of(1e-300, 1, 1e9, 1e-9);
  const shares = sampledShares(Float64Array.of(1, 2, 3, 4), weights, 16, band);
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
});
