/** Tests what a token bucket grants, in every stretch of time. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

describe("TokenBucket", () => {
  it("grants a burst at once, and then the rate", () => {
    const bucket = new TokenBucket({ ratePerSecond: 100, burst: 5 });
    const granted = Array.from({ length: 20 }, () => bucket.take(0)).filter(Boolean);
    expect(granted).toHaveLength(5);
    let later = 0;
    for (let now = 1; now <= 1_000; now++) if (bucket.take(now)) later++;
    expect(later).toBe(100);
  });

  it("says how long until a token is there, and takes nothing when it refuses", () => {
    const bucket = new TokenBucket({ ratePerSecond: 10, burst: 1 });
    expect(bucket.waitMs(0)).toBe(0);
    expect(bucket.take(0)).toBe(true);
    expect(bucket.waitMs(40)).toBe(60);
    for (let time = 0; time < 10; time++) expect(bucket.take(99)).toBe(false);
    expect(bucket.take(100)).toBe(true);
  });

  it("has no more than the burst after a long pause", () => {
    const bucket = new TokenBucket({ ratePerSecond: 1_000, burst: 3 });
    bucket.take(0);
    expect(Array.from({ length: 9 }, () => bucket.take(1e9)).filter(Boolean)).toHaveLength(3);
  });

  it("grants slower rates than one a second, and fractions", () => {
    const bucket = new TokenBucket({ ratePerSecond: 0.25, burst: 1.5 });
    expect(bucket.take(0)).toBe(true);
    expect(bucket.take(1_999)).toBe(false);
    expect(bucket.take(2_000)).toBe(true);
    expect(bucket.take(5_999)).toBe(false);
    expect(bucket.take(6_000)).toBe(true);
  });

  const rules = fc.record({
    ratePerSecond: fc.double({ min: 0.1, max: 10_000, noNaN: true }),
    burst: fc.double({ min: 1, max: 50, noNaN: true }),
  });
  const pauses = fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 2_000, noNaN: true })), {
    maxLength: 120,
  });

  it("grants no more than the bucket allows, over any stretch of time", () => {
    fc.assert(
      fc.property(rules, pauses, ({ ratePerSecond, burst }, steps) => {
        const bucket = new TokenBucket({ ratePerSecond, burst });
        const granted: number[] = [];
        let now = 0;
        for (const pauseMs of steps) {
          now += pauseMs;
          if (bucket.take(now)) granted.push(now);
        }
        for (let first = 0; first < granted.length; first++) {
          for (let last = first; last < granted.length; last++) {
            const spanMs = (granted[last] as number) - (granted[first] as number);
            expect(last - first + 1).toBeLessThanOrEqual(burst + (ratePerSecond * spanMs) / 1_000 + 1e-3);
          }
        }
      }),
    );
  });

  it("grants what was waited for", () => {
    fc.assert(
      fc.property(rules, pauses, (given, steps) => {
        const bucket = new TokenBucket(given);
        let now = 0;
        for (const pauseMs of steps) {
          now += pauseMs;
          if (bucket.take(now)) continue;
          now += bucket.waitMs(now);
          expect(bucket.take(now)).toBe(true);
        }
      }),
    );
  });
});
