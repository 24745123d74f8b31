/**
 * How long the event loop has worked without a pause: with none, something waits that nobody has looked at.
 *
 * For new connections that is the only sign. Node.js accepts one of them in a turn of the loop, so that those that wait are
 * in the kernel's queue, and each turn is short while they wait for seconds: until their callers have gone, who come back
 * with a connection that is new again. A loop that pauses has emptied that queue, whatever came before.
 */

/** Less than this is no pause, but what looking for work takes where there is some: that takes microseconds. */
const shortestPauseMs = 0.1;

export class LoopPause {
  readonly #idleMs: () => number;
  #idleBeforeMs: number;
  #pausedAt: number;

  /** @param idleMs for how long the loop had nothing to do, in all. */
  constructor(idleMs: () => number, now: number) {
    this.#idleMs = idleMs;
    this.#idleBeforeMs = idleMs();
    this.#pausedAt = now;
  }

  /** At the least: a pause counts from when it is seen. */
  sinceMs(now: number): number {
    const idleMs = this.#idleMs();
    if (idleMs - this.#idleBeforeMs >= shortestPauseMs) this.#pausedAt = now;
    this.#idleBeforeMs = idleMs;
    return now - this.#pausedAt;
  }
}
