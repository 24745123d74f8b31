/** Tests of the blocking query's state, in virtual time. */
import { describe, expect, it } from "vitest";
import { createSeededRandom } from "../../core/random.ts";
import { BlockingQuery } from "./blocking-query.ts";

/** The longest pause that may be drawn. */
const always = (): number => 1;

describe("BlockingQuery", () => {
  it("asks for everything first, and then for what is newer", () => {
    const query = new BlockingQuery(always);
    expect(query.index).toBe(0);
    query.answered(17, 0);
    expect(query.index).toBe(17);
    query.answered(17, 1_000);
    query.answered(18, 2_000);
    expect(query.index).toBe(18);
  });

  it("begins again when the index goes back, and goes on from the lower one", () => {
    const query = new BlockingQuery(always);
    query.answered(2_525, 0);
    query.answered(12, 1);
    expect(query.index).toBe(0);
    query.answered(12, 2);
    expect(query.index).toBe(12);
  });

  it("never asks with an index of 0 once it was answered: that would not block", () => {
    const query = new BlockingQuery(always);
    query.answered(0, 0);
    expect(query.index).toBe(1);
  });

  it("asks for everything after a failure", () => {
    const query = new BlockingQuery(always);
    query.answered(17, 0);
    query.failed(1);
    expect(query.index).toBe(0);
  });

  it("pauses twice as long after each failure, up to 30 s", () => {
    const query = new BlockingQuery(always);
    const pauses = Array.from({ length: 12 }, (_, at) => query.failed(at));
    expect(pauses.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(pauses.at(-1)).toBe(30_000);
  });

  it("starts from the shortest pause again only after 10 s of answers", () => {
    const query = new BlockingQuery(always);
    for (let at = 0; at < 5; at++) query.failed(at);
    query.answered(1, 1_000);
    query.answered(2, 10_999);
    expect(query.failed(10_999)).toBe(3_200);
    query.answered(1, 20_000);
    query.answered(2, 25_000);
    expect(query.failed(30_000)).toBe(100);
  });

  it("draws its pauses, so that many clients do not come back in step", () => {
    const query = new BlockingQuery(createSeededRandom(1));
    const pauses = Array.from({ length: 1_000 }, () => {
      query.answered(1, 0);
      return query.failed(10_000);
    });
    // Uniform in [0, 100): the mean of 1,000 has a standard error of 100 / sqrt(12,000) = 0.91.
    const mean = pauses.reduce((sum, pause) => sum + pause, 0) / pauses.length;
    expect(Math.abs(mean - 50)).toBeLessThan(4);
    expect(Math.max(...pauses)).toBeLessThan(100);
  });
});
