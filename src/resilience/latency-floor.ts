/**
 * The least time that any call took lately: an attempt that has less than this left can hardly finish, and is not made, but
 * for one a second.
 *
 * The least and not an average, as refusing a call that would have succeeded is worse than one attempt in vain.
 */

/** How many calls must have been seen before their least says anything. */
const minimumSamples = 20;
/** What was seen counts for one to two generations: a service that became faster is believed at once, a slower one after that. */
const generationMs = 30_000;
/** How often a call is let through that has less: none would ever be seen otherwise where there are slow and fast ones. */
const lookMs = 1_000;

export class LatencyFloor {
  #startedAt = Number.NEGATIVE_INFINITY;
  #leastMs = Number.POSITIVE_INFINITY;
  #samples = 0;
  #previousLeastMs = Number.POSITIVE_INFINITY;
  #previousSamples = 0;
  /** When a call that has less was let through last; before the first, when one was refused. */
  #lookedAt: number | undefined = undefined;

  /** A successful attempt took so long. */
  observe(latencyMs: number, now: number): void {
    this.#moveTo(now);
    this.#samples++;
    if (latencyMs < this.#leastMs) this.#leastMs = latencyMs;
  }

  /** 0 until enough calls were seen. */
  floorMs(now: number): number {
    this.#moveTo(now);
    if (this.#samples + this.#previousSamples < minimumSamples) return 0;
    return Math.min(this.#leastMs, this.#previousLeastMs);
  }

  /** Whether an attempt that has so little left is not to be made. Not always, so that this may turn out to be wrong. */
  refuses(leftMs: number, now: number): boolean {
    if (leftMs >= this.floorMs(now)) return false;
    if (leftMs <= 0) return true;
    this.#lookedAt ??= now;
    if (now - this.#lookedAt < lookMs) return true;
    this.#lookedAt = now;
    return false;
  }

  #moveTo(now: number): void {
    const ageMs = now - this.#startedAt;
    if (ageMs < generationMs) return;
    const isNext = ageMs < 2 * generationMs;
    this.#previousLeastMs = isNext ? this.#leastMs : Number.POSITIVE_INFINITY;
    this.#previousSamples = isNext ? this.#samples : 0;
    this.#leastMs = Number.POSITIVE_INFINITY;
    this.#samples = 0;
    // Generations follow one another without a gap while calls come.
    this.#startedAt = isNext ? this.#startedAt + generationMs : now;
  }
}
