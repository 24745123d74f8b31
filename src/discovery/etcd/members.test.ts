/** Tests of the way round the members: who is next, and when. */
import { describe, expect, it } from "vitest";
import { Members } from "./members.ts";

const usual = { random: () => 0.5, backoffMs: 100, backoffMaxMs: 5_000, stableMs: 10_000 };

describe("Members", () => {
  it("begins with any of them", () => {
    const starts = [0, 0.4, 0.99].map(
      (drawn) => new Members({ ...usual, count: 3, random: () => drawn }).current,
    );
    expect(starts).toEqual([0, 1, 2]);
  });

  it("goes to the next at once, and pauses when all have failed", () => {
    const members = new Members({ ...usual, count: 3 });
    const steps = Array.from({ length: 5 }, () => [members.failed(0), members.current]);
    expect(steps).toEqual([
      [0, 2],
      [0, 0],
      [50, 1],
      [100, 2],
      [200, 0],
    ]);
  });

  it("pauses longer and longer up to the ceiling, and a moment only after a good connection", () => {
    const members = new Members({ ...usual, count: 1 });
    const pauses = Array.from({ length: 9 }, () => members.failed(0));
    expect(pauses).toEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500, 2_500]);
    expect(members.failed(9_999)).toBe(2_500);
    expect(members.failed(10_000)).toBe(50);
  });

  it("leaves a good member whose connection ended for another, without a pause", () => {
    const members = new Members({ ...usual, count: 2 });
    for (let round = 0; round < 5; round++) members.failed(0);
    expect(members.failed(60_000)).toBe(0);
  });
});
