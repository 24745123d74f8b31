/** Tests of how long an event loop has worked without a pause. */
import { expect, it } from "vitest";
import { LoopPause } from "./loop-pause.ts";

it("counts from the last pause that was seen, and takes a look for work for none", () => {
  let idleMs = 500;
  const pause = new LoopPause(() => idleMs, 1_000);
  expect(pause.sinceMs(1_200)).toBe(200);
  for (let now = 1_201; now <= 1_300; now++) {
    idleMs += 0.01;
    expect(pause.sinceMs(now)).toBe(now - 1_000);
  }
  idleMs += 0.1;
  expect(pause.sinceMs(1_400)).toBe(0);
  expect(pause.sinceMs(1_450)).toBe(50);
});
