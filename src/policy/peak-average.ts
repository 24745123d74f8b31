/**
 * A latency average that rises at once and falls slowly: Peak EWMA.
 *
 *     x > average:  average = x
 *     else:         average = average * w + x * (1 - w),  w = e^(-elapsed / decay)
 *
 * Twitter's Finagle, `PeakEwma.scala`; the same in tower and Linkerd. Writes are given the time, reads the time to
 * read it at: without samples it sinks towards 0, so that a node that was slow once is tried again.
 */

/** What a failure counts at least, so that a node does not draw calls by failing fast. As in Linkerd: 5 s. */
const failureMs = 5_000;

export class PeakAverage {
  #ms = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** Whether it has taken a sample yet; before that it has no value. */
  get isKnown(): boolean {
    return this.#at !== Number.NEGATIVE_INFINITY;
  }

  /** The average at a time in milliseconds; a time before the last sample is taken as that. */
  at(now: number, decayMs: number): number {
    return now <= this.#at ? this.#ms : this.#ms * Math.exp((this.#at - now) / decayMs);
  }

  succeeded(latencyMs: number, now: number, decayMs: number): void {
    if (latencyMs > this.#ms || !this.isKnown) this.#ms = latencyMs;
    else this.#ms = latencyMs + (this.#ms - latencyMs) * Math.exp(Math.min(0, this.#at - now) / decayMs);
    this.#at = Math.max(this.#at, now);
  }

  /** A failure counts 5 s, or as long as it took, or what the average was, whichever is the most. */
  failed(latencyMs: number, now: number): void {
    this.#raise(Math.max(failureMs, latencyMs, this.#ms), now);
  }

  /** It took at least this long until the caller gave up. That says nothing unless it is more than was known. */
  stopped(latencyMs: number, now: number): void {
    if (this.isKnown && latencyMs > this.#ms) this.#raise(latencyMs, now);
  }

  #raise(ms: number, now: number): void {
    this.#ms = ms;
    this.#at = Math.max(this.#at, now);
  }
}
