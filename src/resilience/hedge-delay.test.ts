/** Tests what the delay of hedges is learned from. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSeededRandom } from "../core/random.ts";
import { HedgeDelay } from "./hedge-delay.ts";

/** One bucket is a twelfth wide: 2^(1/9) is 1.08. */
const bucket = 2 ** (1 / 9);

describe("HedgeDelay", () => {
  it("waits for enough observations: the more, the higher the percentile", () => {
    for (const [percentile, needed] of [
      [0.9, 40],
      [0.95, 80],
      [0.99, 400],
    ] as const) {
      const delay = new HedgeDelay({ percentile });
      for (let call = 1; call < needed; call++) delay.observe(10, 0);
      expect(delay.delayMs(0)).toBeUndefined();
      delay.observe(10, 0);
      expect(delay.delayMs(1_000)).toBeGreaterThanOrEqual(10);
    }
  });

  it("is the percentile, at most a bucket more", () => {
    const delay = new HedgeDelay({ percentile: 0.95 });
    for (let latencyMs = 1; latencyMs <= 1_000; latencyMs++) delay.observe(latencyMs, 0);
    const found = delay.delayMs(0) as number;
    expect(found).toBeGreaterThanOrEqual(950);
    expect(found).toBeLessThanOrEqual(951 * bucket);
  });

  it("is not moved by one call in a hundred that takes a hundred times as long", () => {
    const delay = new HedgeDelay({ percentile: 0.98 });
    for (let call = 0; call < 1_000; call++) delay.observe(call % 100 === 0 ? 1_000 : 10, 0);
    expect(delay.delayMs(0)).toBeLessThanOrEqual(10 * bucket);
  });

  it("forgets within a minute", () => {
    const delay = new HedgeDelay({ percentile: 0.9 });
    for (let now = 0; now < 30_000; now += 100) delay.observe(100, now);
    for (let now = 30_000; now < 60_000; now += 100) delay.observe(10, now);
    expect(delay.delayMs(59_999)).toBeGreaterThanOrEqual(100);
    expect(delay.delayMs(60_000)).toBeLessThanOrEqual(10 * bucket);
    expect(delay.delayMs(120_000)).toBeUndefined();
  });

  it("is not worked out anew for each call", () => {
    const delay = new HedgeDelay({ percentile: 0.9 });
    for (let call = 0; call < 100; call++) delay.observe(10, 0);
    const before = delay.delayMs(0);
    for (let call = 0; call < 100; call++) delay.observe(1_000, 1);
    expect(delay.delayMs(249)).toBe(before);
    expect(delay.delayMs(250)).toBeGreaterThanOrEqual(1_000);
  });

  it("hedges as many calls as the percentile says, if those that lost are observed too", () => {
    const random = createSeededRandom(7);
    const exponential = () => -10 * Math.log(1 - random());
    const delay = new HedgeDelay({ percentile: 0.95 });
    let hedged = 0;
    for (let call = 0; call < 60_000; call++) {
      const now = call * 4;
      const delayMs = delay.delayMs(now) ?? Number.POSITIVE_INFINITY;
      const first = exponential();
      if (first > delayMs) hedged++;
      delay.observe(Math.min(first, delayMs + exponential()), now);
    }
    // One in twenty, less up to a bucket (8% more delay is a fifth fewer calls of an exponential's tail).
    expect(hedged / 60_000).toBeGreaterThan(0.035);
    expect(hedged / 60_000).toBeLessThan(0.055);
  });

  it("takes any time", () => {
    const delay = new HedgeDelay({ percentile: 0.5 });
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (latencyMs) => {
        delay.observe(latencyMs, 0);
        delay.delayMs(0);
      }),
    );
    delay.observe(Number.POSITIVE_INFINITY, 0);
    expect(delay.delayMs(500)).toBeGreaterThan(0);
  });
});
