/** Tests of how long an event loop has worked on calls without a pause. */
import { expect, it } from "vitest";
import { LoopPause } from "./loop-pause.ts";

it("counts from the last pause that was seen, and takes a look for work for none", () => {
  let idleMs = 500;
  const pause = new LoopPause(() => idleMs, 50);
  expect(pause.workedMs(1_000)).toBe(0);
  for (let now = 1_001; now <= 1_300; now++) {
    idleMs += 0.01;
    expect(pause.workedMs(now)).toBe(now - 1_000);
  }
  idleMs += 0.1;
  expect(pause.workedMs(1_400)).toBe(0);
  expect(pause.workedMs(1_450)).toBe(50);
});

it("counts a start for nothing, and what else is long between two calls for a part of it", () => {
  const pause = new LoopPause(() => 0, 50);
  expect(pause.workedMs(9_000)).toBe(0);
  expect(pause.workedMs(9_400)).toBe(50);
  expect(pause.workedMs(9_405)).toBe(55);
  expect(pause.workedMs(9_455)).toBe(105);
});
