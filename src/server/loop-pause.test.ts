/** Tests of how long an event loop has worked on calls without a pause. */
import { expect, it } from "vitest";
import { LoopPause } from "./loop-pause.ts";

/** An event loop that is played. */
class PlayedLoop {
  idleMs = 500;
  readonly #ends: (() => void)[] = [];
  #now = 0;
  readonly #pause = new LoopPause({
    idleMs: () => this.idleMs,
    now: () => this.#now,
    afterTurn: (callback) => void this.#ends.push(callback),
    mostPerCallMs: 50,
  });

  call(now: number): number {
    return this.#pause.workedMs(now);
  }

  /** The end of a turn; later ones are not asked for. */
  endTurn(now: number): void {
    expect(this.#ends).toHaveLength(1);
    this.#now = now;
    this.#ends.pop()?.();
  }
}

it("counts from the last pause that was seen, and takes a look for work for none", () => {
  const loop = new PlayedLoop();
  expect(loop.call(1_000)).toBe(0);
  loop.endTurn(1_001);
  for (let now = 1_001; now <= 1_300; now++) {
    loop.idleMs += 0.01;
    expect(loop.call(now)).toBe(now - 1_000);
    loop.endTurn(now + 1);
  }
  loop.idleMs += 0.1;
  expect(loop.call(1_310)).toBe(0);
  expect(loop.call(1_360)).toBe(50);
});

it("counts a start for nothing, and what a call compiles for a part of its time", () => {
  const loop = new PlayedLoop();
  expect(loop.call(9_000)).toBe(0);
  loop.endTurn(9_400);
  expect(loop.call(9_400)).toBe(50);
  expect(loop.call(9_405)).toBe(55);
  expect(loop.call(9_455)).toBe(105);
});

it("takes some time without a call for a pause, where other work never lets the loop rest", () => {
  const loop = new PlayedLoop();
  loop.call(0);
  loop.endTurn(10);
  expect(loop.call(60)).toBe(50);
  loop.endTurn(70);
  expect(loop.call(121)).toBe(0);
  expect(loop.call(125)).toBe(4);
});
