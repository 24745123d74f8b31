/** Tests the least time that an attempt is known to need. */
import { describe, expect, it } from "vitest";
import { LatencyFloor } from "./latency-floor.ts";

const observed = (latencies: readonly number[], now = 0): LatencyFloor => {
  const floor = new LatencyFloor();
  for (const latencyMs of latencies) floor.observe(latencyMs, now);
  return floor;
};
const twenty = Array.from({ length: 20 }, (_, index) => 50 - index);

describe("LatencyFloor", () => {
  it("says nothing of fewer than twenty calls", () => {
    expect(new LatencyFloor().floorMs(0)).toBe(0);
    expect(observed(twenty.slice(1)).floorMs(1)).toBe(0);
  });

  it("is the least of them", () => {
    expect(observed(twenty).floorMs(1)).toBe(31);
  });

  it("follows at once when calls become faster, and within a minute when they become slower", () => {
    const floor = observed(twenty);
    floor.observe(3, 10);
    expect(floor.floorMs(10)).toBe(3);
    for (let now = 20; now <= 59_000; now += 20) floor.observe(100, now);
    expect(floor.floorMs(59_000)).toBe(3);
    for (let now = 59_020; now <= 60_020; now += 20) floor.observe(100, now);
    expect(floor.floorMs(60_020)).toBe(100);
  });

  it("lets a call through each second that has less, and believes it when it succeeds", () => {
    const floor = observed(twenty);
    expect(floor.refuses(31, 1)).toBe(false);
    expect(floor.refuses(0, 1)).toBe(true);
    const refused = (at: number): boolean => floor.refuses(10, at);
    expect([100, 600, 1_099, 1_100, 1_101, 2_099, 2_100].map(refused)).toEqual([
      true,
      true,
      true,
      false,
      true,
      true,
      false,
    ]);
    floor.observe(8, 2_108);
    expect(refused(2_109)).toBe(false);
  });

  it("forgets what is older than a minute", () => {
    const floor = observed(twenty);
    expect(floor.floorMs(59_999)).toBe(31);
    expect(floor.floorMs(60_000)).toBe(0);
  });
});
