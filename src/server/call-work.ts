/**
 * For how long calls have kept the event loop at work, by when they come in.
 *
 * Only many of them make a loop work on and on. What lies between two counts for a part of its time where it is long: that is
 * a program that loads or compiles, or a garbage collection, behind which few calls wait.
 */
export class CallWork {
  readonly #mostPerCallMs: number;
  #calledAt = 0;
  #ms = 0;

  /** @param mostPerCallMs the most that the time from one call to the next counts for. */
  constructor(mostPerCallMs: number) {
    this.#mostPerCallMs = mostPerCallMs;
  }

  /** A call behind which there is no work. */
  startWith(now: number): number {
    this.#calledAt = now;
    this.#ms = 0;
    return 0;
  }

  /** A call that comes after the one before without a break. */
  goOnWith(now: number): number {
    this.#ms += Math.min(now - this.#calledAt, this.#mostPerCallMs);
    this.#calledAt = now;
    return this.#ms;
  }
}
