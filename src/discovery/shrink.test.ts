/** Tests of what counts as a bulk removal. */
import { describe, expect, it } from "vitest";
import { shrink } from "./shrink.ts";

const keys = (count: number, from = 0): readonly string[] =>
  Array.from({ length: count }, (_, index) => `http://node${from + index}`);

describe("shrink", () => {
  it.each([
    { known: 3, left: 0, suspects: 3 },
    { known: 4, left: 1, suspects: 3 },
    { known: 4, left: 2, suspects: 0 },
    { known: 5, left: 2, suspects: 3 },
    { known: 6, left: 3, suspects: 0 },
    { known: 7, left: 3, suspects: 4 },
    { known: 2, left: 0, suspects: 0 },
    { known: 10, left: 9, suspects: 0 },
    { known: 100, left: 50, suspects: 0 },
    { known: 100, left: 49, suspects: 51 },
  ])("of $known with $left left keeps $suspects", ({ known, left, suspects }) => {
    const result = shrink(keys(known), new Map(), new Set(keys(left)), 0, 60_000);
    expect(result.removed).toBe(suspects);
    expect(result.known).toBe(known);
    expect([...result.suspects.keys()]).toEqual(suspects === 0 ? [] : keys(known).slice(left));
  });

  it("does not count those that are suspect already", () => {
    const old = new Map(keys(6).map((key) => [key, 60_000]));
    // 4 ordinary ones, of which 2 go: no bulk.
    const result = shrink(keys(10), old, new Set(keys(2, 8)), 10, 60_010);
    expect(result).toEqual({ suspects: old, removed: 0, known: 4 });
  });

  it("counts what was replaced as removed", () => {
    expect(shrink(keys(4), new Map(), new Set(keys(4, 4)), 0, 1).removed).toBe(4);
  });

  it("lets go of suspects that came back and of those whose grace is over", () => {
    const old = new Map([
      ["http://node0", 500],
      ["http://node1", 501],
      ["http://node2", 501],
    ]);
    const result = shrink(keys(6), old, new Set(["http://node1", ...keys(3, 3)]), 500, 999);
    expect([...result.suspects]).toEqual([["http://node2", 501]]);
  });
});
