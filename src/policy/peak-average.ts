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
  /** When the last sample came; negative infinity before the first, when there is no value. */
  sampledAt: number = Number.NEGATIVE_INFINITY;

  /** The average at a time in milliseconds; a time before the last sample is taken as that. */
  at(now: number, decayMs: number): number {
    return now <= this.sampledAt ? this.#ms : this.#ms * Math.exp((this.sampledAt - now) / decayMs);
  }

  succeeded(latencyMs: number, now: number, decayMs: number): void {
    const weight = Math.exp(Math.min(0, this.sampledAt - now) / decayMs);
    this.#take(Math.max(latencyMs, latencyMs + (this.#ms - latencyMs) * weight), now);
  }

  /** A failure counts 5 s, or as long as it took, or what the average was, whichever is the most. */
  failed(latencyMs: number, now: number): void {
    this.#take(Math.max(failureMs, latencyMs, this.#ms), now);
  }

  /** It took at least this long until the caller gave up. That says nothing unless it is more than was known. */
  stopped(latencyMs: number, now: number): void {
    if (latencyMs > this.#ms && this.sampledAt > Number.NEGATIVE_INFINITY) this.#take(latencyMs, now);
  }

  forget(): void {
    this.#ms = 0;
    this.sampledAt = Number.NEGATIVE_INFINITY;
  }

  #take(ms: number, now: number): void {
    this.#ms = ms;
    this.sampledAt = Math.max(this.sampledAt, now);
  }
}
