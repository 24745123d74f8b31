/** Tests that virtual time fires timers in order, at their own time, and never runs backwards. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "./manual-clock.ts";

describe("ManualClock", () => {
  it("moves only when told to", () => {
    const clock = new ManualClock(5);
    expect(clock.now()).toBe(5);
    clock.advance(10.5);
    expect(clock.now()).toBe(15.5);
  });

  it("fires each timer once, at its own time, in order of time and then of setting", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -5, max: 100 })), fc.array(fc.nat(60)), (delays, steps) => {
        const clock = new ManualClock(1_000);
        const fired: { readonly index: number; readonly at: number }[] = [];
        for (const [index, delayMs] of delays.entries()) {
          clock.schedule(() => fired.push({ index, at: clock.now() }), delayMs);
        }
        for (const step of [...steps, 200]) clock.advance(step);
        const expected = delays
          .map((delayMs, index) => ({ index, at: 1_000 + Math.max(0, delayMs) }))
          .sort((one, other) => one.at - other.at || one.index - other.index);
        expect(fired).toEqual(expected);
        expect(clock.pendingTimers).toBe(0);
      }),
    );
  });

  it("fires what a callback sets, if it is due before the end", () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    const again = () => {
      fired.push(clock.now());
      clock.schedule(again, 30);
    };
    clock.schedule(again, 30);
    clock.advance(100);
    expect(fired).toEqual([30, 60, 90]);
    expect(clock.pendingTimers).toBe(1);
  });

  it("does not fire what was cancelled, by whom and when ever", () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const second = clock.schedule(() => fired.push("second"), 20);
    const first = clock.schedule(() => {
      fired.push("first");
      second.cancel();
    }, 10);
    clock.advance(50);
    first.cancel();
    second.keepAlive(true);
    expect(fired).toEqual(["first"]);
  });

  it("fires late and in order after a blockage", () => {
    const clock = new ManualClock();
    const fired: [string, number][] = [];
    clock.schedule(() => fired.push(["b", clock.now()]), 20);
    clock.schedule(() => fired.push(["a", clock.now()]), 10);
    clock.schedule(() => fired.push(["c", clock.now()]), 120);
    clock.block(100);
    expect(fired).toEqual([]);
    clock.advance(30);
    expect(fired).toEqual([
      ["a", 100],
      ["b", 100],
      ["c", 120],
    ]);
  });

  it("never runs backwards, also when a callback blocks past the end", async () => {
    const clock = new ManualClock();
    clock.schedule(() => clock.block(500), 10);
    clock.advance(20);
    expect(clock.now()).toBe(510);
    clock.schedule(() => clock.block(500), 10);
    await clock.advanceAsync(20);
    expect(clock.now()).toBe(1_020);
  });

  it("lets promises settle between timers", async () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    const wait = (ms: number) =>
      new Promise<void>((resolve) => {
        clock.schedule(resolve, ms);
      });
    const run = async () => {
      for (let time = 0; time < 3; time++) {
        await wait(10);
        await null;
        await null;
        seen.push(clock.now());
      }
    };
    const running = run();
    await clock.advanceAsync(100);
    await running;
    expect(seen).toEqual([10, 20, 30]);
    expect(clock.now()).toBe(100);
  });
});
