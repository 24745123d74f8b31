/** Tests of how long a turn of the event loop has been at work, over turns that are played. */
import { expect, it } from "vitest";
import { LoopTurn } from "./loop-turn.ts";

it("counts from the first call of a turn, and anew with each", () => {
  const ends: (() => void)[] = [];
  const turn = new LoopTurn((callback) => ends.push(callback), 50);
  expect(turn.busyMs(1_000)).toBe(0);
  expect(turn.busyMs(1_030)).toBe(30);
  expect(turn.busyMs(1_080)).toBe(80);
  // A handler that compiles, or is interrupted for a garbage collection.
  expect(turn.busyMs(1_300)).toBe(130);
  expect(ends).toHaveLength(1);
  ends.shift()?.();
  // Whatever the loop did in between, no call has waited for another.
  expect(turn.busyMs(5_000)).toBe(0);
  expect(turn.busyMs(5_001)).toBe(1);
  expect(ends).toHaveLength(1);
});
