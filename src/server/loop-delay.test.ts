/** Tests of the delay of the event loop, over samples that are played. */
import { expect, it } from "vitest";
import { type DelayHistogram, LoopDelay } from "./loop-delay.ts";

class PlayedHistogram implements DelayHistogram {
  #samples: number[] = [];

  get count(): number {
    return this.#samples.length;
  }

  get mean(): number {
    return (this.#samples.reduce((sum, ms) => sum + ms, 0) / this.count) * 1e6;
  }

  /** Turns of the loop that took as long as this. */
  turns(count: number, ms: number): void {
    this.#samples.push(...new Array<number>(count).fill(ms));
  }

  reset(): void {
    this.#samples = [];
  }
}

function play() {
  const histogram = new PlayedHistogram();
  return { histogram, delay: new LoopDelay(histogram, 1_000) };
}

it("is what a turn takes beyond the 20 ms of the timer, once that has lasted for two windows", () => {
  const { histogram, delay } = play();
  histogram.turns(3, 120);
  expect(delay.delayMs(1_100)).toBe(0);
  expect(delay.delayMs(1_360)).toBe(0);
  histogram.turns(2, 220);
  expect(delay.delayMs(1_609)).toBe(0);
  expect(delay.delayMs(1_800)).toBeCloseTo(100, 9);
  histogram.turns(2, 220);
  expect(delay.delayMs(2_240)).toBeCloseTo(200, 9);
  histogram.turns(12, 20);
  expect(delay.delayMs(2_500)).toBe(0);
});

it("is nothing after a single pause, and after many short ones", () => {
  const { histogram, delay } = play();
  histogram.turns(1, 2_000);
  expect(delay.delayMs(3_000)).toBe(0);
  histogram.turns(12, 20);
  expect(delay.delayMs(3_250)).toBe(0);
  for (let window = 1; window < 5; window++) {
    histogram.turns(10, 20);
    histogram.turns(1, 70);
    expect(delay.delayMs(3_250 + 300 * window)).toBeLessThan(5);
  }
});

it("counts a pause that no sample has told of yet", () => {
  const { histogram, delay } = play();
  histogram.turns(1, 320);
  delay.delayMs(1_400);
  expect(delay.delayMs(1_900)).toBeCloseTo(300, 9);
  expect(delay.delayMs(1_500)).toBe(0);
});
