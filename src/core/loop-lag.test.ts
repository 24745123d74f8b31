/** Tests that the process's own blockage is counted, wholly and only, whatever fires first after it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { LoopLag } from "./loop-lag.ts";

function createHarness() {
  const clock = new ManualClock(1_000);
  const state = { needed: true };
  const lag = new LoopLag(clock, () => state.needed);
  lag.start(clock.now());
  const blocked = () => lag.blockedMs(clock.now());
  return { clock, state, lag, blocked };
}

describe("LoopLag", () => {
  it("is 0 in a process that is not blocked", () => {
    const { clock, blocked } = createHarness();
    for (let time = 0; time < 500; time++) {
      clock.advance(7.3);
      expect(blocked()).toBe(0);
    }
  });

  it("counts a blockage, less at most one tick, before and after the late tick", () => {
    const { clock, blocked } = createHarness();
    clock.advance(20);
    clock.block(2_000);
    // The tick was due in 30 ms: that much of the blockage cannot be told from waiting.
    expect(blocked()).toBe(1_970);
    clock.advance(0);
    expect(blocked()).toBe(1_970);
    clock.advance(1_000);
    expect(blocked()).toBe(1_970);
  });

  it("lets pass what timers and ordinary work take", () => {
    const { clock, blocked } = createHarness();
    clock.block(70);
    clock.advance(0);
    expect(blocked()).toBe(0);
    clock.block(71);
    clock.advance(0);
    expect(blocked()).toBe(21);
  });

  it("counts each blockage within one tick and the tolerance, and never runs backwards", () => {
    const step = fc.record({
      advanceMs: fc.integer({ min: 0, max: 300 }),
      blockMs: fc.integer({ min: 0, max: 3_000 }),
      readFirst: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { clock, blocked } = createHarness();
        let last = 0;
        for (const { advanceMs, blockMs, readFirst } of steps) {
          clock.advance(advanceMs);
          const before = blocked();
          expect(before).toBeGreaterThanOrEqual(last);
          clock.block(blockMs);
          const early = readFirst ? blocked() : undefined;
          clock.advance(0);
          const counted = blocked() - before;
          expect(counted).toBeLessThanOrEqual(blockMs);
          expect(counted).toBeGreaterThanOrEqual(blockMs - 50 - 20);
          if (early !== undefined) expect(early - before).toBe(counted);
          last = blocked();
        }
      }),
    );
  });

  it("stops when nobody needs it, keeps what it counted, and starts again", () => {
    const { clock, state, lag, blocked } = createHarness();
    clock.block(1_000);
    clock.advance(0);
    expect(blocked()).toBe(950);
    state.needed = false;
    clock.advance(50);
    expect(clock.pendingTimers).toBe(0);
    clock.block(10_000);
    expect(blocked()).toBe(950);
    state.needed = true;
    lag.start(clock.now());
    lag.start(clock.now());
    expect(clock.pendingTimers).toBe(1);
    expect(blocked()).toBe(950);
    clock.block(500);
    expect(blocked()).toBe(950 + 450);
  });

  it("has no timer when closed", () => {
    const { clock, lag } = createHarness();
    lag.close();
    lag.close();
    expect(clock.pendingTimers).toBe(0);
    expect(lag.blockedMs(clock.now() + 10_000)).toBe(0);
  });
});
