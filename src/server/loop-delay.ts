/**
 * How far the event loop is behind, as one number: what a turn of it takes longer than it should, on average over a
 * quarter of a second, and for longer than that.
 *
 * The average, and no percentile: a pause for a garbage collection leaves it low, a loop that is busy for 100 ms in each
 * turn has it at 100 ms. Of two windows in a row the lesser counts, so that one long pause, as while a program starts,
 * is not taken for overload. It is read when a call comes in; nothing runs when none does.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** What of `monitorEventLoopDelay` is used here: a timer's intervals, in nanoseconds. */
export interface DelayHistogram {
  readonly mean: number;
  readonly count: number;
  reset(): void;
}

/** How often Node.js looks: ten samples a window, and next to no work. */
const resolutionMs = 20;
const windowMs = 250;

export class LoopDelay {
  readonly #histogram: DelayHistogram;
  #since: number;
  /** Of the last window, and of the one before it. */
  #lastMs = 0;
  #beforeMs = 0;

  constructor(histogram: DelayHistogram, now: number) {
    this.#histogram = histogram;
    this.#since = now;
  }

  delayMs(now: number): number {
    const elapsedMs = now - this.#since;
    if (elapsedMs < windowMs) return Math.min(this.#lastMs, this.#beforeMs);
    const { mean, count } = this.#histogram;
    // Not one sample since then: the loop was blocked all the time, and what comes in now has waited for it.
    if (count === 0) return Math.min(elapsedMs - resolutionMs, this.#lastMs);
    this.#beforeMs = this.#lastMs;
    this.#lastMs = Math.max(0, mean / 1e6 - resolutionMs);
    this.#since = now;
    this.#histogram.reset();
    return Math.min(this.#lastMs, this.#beforeMs);
  }
}

/** Of this process; its timer does not keep it alive. */
export function measureLoopDelay(now: number): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  return new LoopDelay(histogram, now);
}
