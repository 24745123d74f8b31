/**
 * A token bucket, as a decision: how long the next query has to wait for its token.
 *
 * Consul's advice for blocking queries is a rate limit and not a sleep between them: a lone change is then seen at
 * once, and a service that changes all the time costs the servers a bounded number of queries. It is kept as the
 * time at which the bucket would be full again (the generic cell rate algorithm), so that there is nothing to refill.
 */
export class TokenBucket {
  readonly #intervalMs: number;
  readonly #slackMs: number;
  /** When the bucket is full. */
  #fullAt: number = Number.NEGATIVE_INFINITY;

  /**
   * @param perSecond how many tokens come back each second.
   * @param burst how many can be taken at once after a rest; at least 1.
   */
  constructor(perSecond: number, burst: number) {
    this.#intervalMs = 1_000 / perSecond;
    this.#slackMs = (burst - 1) * this.#intervalMs;
  }

  /** Takes one token, and says in how many milliseconds it is there. */
  take(now: number): number {
    const waitMs = Math.max(0, this.#fullAt - this.#slackMs - now);
    this.#fullAt = Math.max(this.#fullAt, now) + this.#intervalMs;
    return waitMs;
  }
}
