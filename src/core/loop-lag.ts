/**
 * How long this process's own event loop was blocked, so that nodes are not blamed for it.
 *
 * A tick is expected every 50 ms while calls are in flight. What it comes late is time in which no answer could
 * be read. A reader need not wait for the late tick: the part that is overdue already counts, so the order in
 * which timers fire after a blockage does not matter.
 */
import type { Clock, Timer } from "./clock.ts";

const tickMs = 50;
/** Less than this is the timers' own inaccuracy and the ordinary work of a busy process. */
const toleranceMs = 20;

export class LoopLag {
  readonly #clock: Clock;
  readonly #isNeeded: () => boolean;
  #timer: Timer | undefined;
  #blockedMs = 0;
  #tickedAt = 0;

  /** @param isNeeded asked at each tick; measuring stops when it says no. */
  constructor(clock: Clock, isNeeded: () => boolean) {
    this.#clock = clock;
    this.#isNeeded = isNeeded;
  }

  /** Starts measuring, unless it runs already. Called for each attempt. */
  start(now: number): void {
    if (this.#timer === undefined) this.#schedule(now);
  }

  /** Milliseconds of blockage up to `now`, since the beginning. Only differences mean something. */
  blockedMs(now: number): number {
    return this.#blockedMs + (this.#timer === undefined ? 0 : this.#overdueMs(now));
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #overdueMs(now: number): number {
    const lateMs = now - this.#tickedAt - tickMs;
    return lateMs > toleranceMs ? lateMs : 0;
  }

  #schedule(now: number): void {
    this.#tickedAt = now;
    this.#timer = this.#clock.schedule(() => this.#tick(), tickMs);
  }

  #tick(): void {
    const now = this.#clock.now();
    this.#blockedMs += this.#overdueMs(now);
    this.#timer = undefined;
    if (this.#isNeeded()) this.#schedule(now);
  }
}
