/**
 * How long the event loop has worked on calls without a pause: with none, something waits that nobody has looked at.
 *
 * For new connections that is the only sign. Node.js accepts one of them in a turn of the loop, so that those that wait are
 * in the kernel's queue, and each turn is short while they wait for seconds: until their callers have gone, who come back
 * with a connection that is new again. A loop that pauses has emptied that queue, whatever came before.
 *
 * It is many calls that make a loop work on and on. What lies between two of them counts for a part of its time when it is
 * long: that is a program that starts or compiles, or a garbage collection, after which few calls wait.
 */

/** Less than this is no pause, but what looking for work takes where there is some: that takes microseconds. */
const shortestPauseMs = 0.1;

export class LoopPause {
  readonly #idleMs: () => number;
  readonly #mostPerCallMs: number;
  /** So that the first call comes after a pause, however long the program took to start. */
  #idleBeforeMs: number = Number.NEGATIVE_INFINITY;
  #askedAt = 0;
  #workedMs = 0;

  /**
   * @param idleMs for how long the loop had nothing to do, in all.
   * @param mostPerCallMs the most that the time from one call to the next counts for.
   */
  constructor(idleMs: () => number, mostPerCallMs: number) {
    this.#idleMs = idleMs;
    this.#mostPerCallMs = mostPerCallMs;
  }

  /** Asked for each call that comes in. At the least: a pause counts from when it is seen. */
  workedMs(now: number): number {
    const idleMs = this.#idleMs();
    const hasPaused = idleMs - this.#idleBeforeMs >= shortestPauseMs;
    this.#workedMs = hasPaused ? 0 : this.#workedMs + Math.min(now - this.#askedAt, this.#mostPerCallMs);
    this.#idleBeforeMs = idleMs;
    this.#askedAt = now;
    return this.#workedMs;
  }
}
