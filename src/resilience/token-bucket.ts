/**
 * How many calls a second may begin: a token bucket.
 *
 * Kept as one number, the time at which the bucket will be full again (the generic cell rate algorithm of ATM, ITU-T
 * I.371): no refill to run, and nothing that grows with the rate. Over any stretch of `t` milliseconds at most
 * `burst + ratePerSecond * t / 1000` calls are granted.
 */

export interface TokenBucketRules {
  /** Above 0; need not be whole. */
  readonly ratePerSecond: number;
  /** How many may begin at once after a pause, from 1. */
  readonly burst: number;
}

/** A nanosecond: what the sums of fractions may be off by, so that whoever waits `waitMs` is not refused after it. */
const roundingMs = 1e-6;

export class TokenBucket {
  readonly #tokenMs: number;
  /** How far ahead of now `#fullAt` may lie while one more token is there. */
  readonly #slackMs: number;
  #fullAt = Number.NEGATIVE_INFINITY;

  constructor({ ratePerSecond, burst }: TokenBucketRules) {
    this.#tokenMs = 1_000 / ratePerSecond;
    this.#slackMs = (burst - 1) * this.#tokenMs;
  }

  /** Takes a token; false, and nothing taken, when there is none. */
  take(now: number): boolean {
    if (this.#fullAt - this.#slackMs > now + roundingMs) return false;
    this.#fullAt = Math.max(this.#fullAt, now) + this.#tokenMs;
    return true;
  }

  /** How long until a token is there; 0 when one is. */
  waitMs(now: number): number {
    return Math.max(0, this.#fullAt - this.#slackMs - now);
  }
}
