/** Virtual time: a clock that moves only when told to, and fires its timers in order on the way. */
import type { Clock, Timer } from "../core/clock.ts";

interface PendingTimer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/**
 * @example
 * const clock = new ManualClock();
 * clock.schedule(() => console.log("a second later"), 1_000);
 * clock.advance(1_000);
 */
export class ManualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #pending: Set<PendingTimer> = new Set();

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  /** Timers that were set and have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  now(): number {
    return this.#now;
  }

  schedule(callback: () => void, delayMs: number): Timer {
    const timer: PendingTimer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#pending.add(timer);
    return {
      cancel: () => {
        this.#pending.delete(timer);
      },
      keepAlive: () => {},
    };
  }

  /** Moves time on by `ms`, firing each timer at its own time, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#earliest(end); next !== undefined; next = this.#earliest(end)) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    // A callback may have moved time past the end.
    this.#now = Math.max(this.#now, end);
  }

  /** Like `advance`, but lets promises settle after each timer, for code that awaits between timers. */
  async advanceAsync(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settlePromises();
    for (let next = this.#earliest(end); next !== undefined; next = this.#earliest(end)) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await settlePromises();
    }
    // A callback may have moved time past the end.
    this.#now = Math.max(this.#now, end);
  }

  /** Moves time on without firing anything, as a blocked event loop does; the next `advance` fires them late. */
  block(ms: number): void {
    this.#now += ms;
  }

  #earliest(end: number): PendingTimer | undefined {
    let earliest: PendingTimer | undefined;
    for (const timer of this.#pending) {
      if (timer.at > end) continue;
      if (
        earliest === undefined ||
        timer.at < earliest.at ||
        (timer.at === earliest.at && timer.order < earliest.order)
      ) {
        earliest = timer;
      }
    }
    return earliest;
  }
}

/** Microtasks run to the end before a `setImmediate` callback does, however deep their chain. */
function settlePromises(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
