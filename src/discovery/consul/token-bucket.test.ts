/** Tests of the token bucket, in virtual time. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

describe("TokenBucket", () => {
  it("gives a burst at once, and then one for each interval", () => {
    const bucket = new TokenBucket(10, 2);
    expect([0, 0, 0, 0].map((now) => bucket.take(now))).toEqual([0, 0, 100, 200]);
  });

  it("fills up again, and not beyond the burst", () => {
    const bucket = new TokenBucket(10, 2);
    bucket.take(0);
    bucket.take(0);
    expect(bucket.take(100)).toBe(0);
    expect([60_000, 60_000, 60_000].map((now) => bucket.take(now))).toEqual([0, 0, 100]);
  });

  it("never gives more than burst and rate allow, whoever asks when", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 3, maxLength: 200 }), (gaps) => {
        const bucket = new TokenBucket(10, 2);
        const used: number[] = [];
        let now = 0;
        for (const gap of gaps) {
          now += gap;
          now += bucket.take(now);
          used.push(now);
        }
        // Of any three uses in a row, the third comes an interval after the first at the earliest.
        for (let at = 2; at < used.length; at++) {
          expect((used[at] as number) - (used[at - 2] as number)).toBeGreaterThanOrEqual(100 - 1e-6);
        }
      }),
    );
  });
});
