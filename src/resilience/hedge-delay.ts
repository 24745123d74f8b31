/**
 * When a call is slow enough for a second attempt beside the first: a percentile of what first attempts took lately.
 *
 * A histogram with buckets that grow by a twelfth, in two generations: two thousand bytes whatever the traffic, an
 * answer that is at most a bucket too high, and what was true a minute ago is forgotten.
 *
 * The share of calls that are hedged is one less the percentile only if the attempts that lost to their hedge are
 * observed too, with the time at which they were given up: left out, they would make the tail look short, the delay
 * sink and the share grow.
 */

export interface HedgeDelayRules {
  /** From 0.5 to below 1: with 0.95 one call in twenty is hedged. */
  readonly percentile: number;
}

/** The lower end of the first bucket; whatever is faster is in it too. */
const leastMs = 0.1;
const bucketsPerDoubling = 9;
/** 25 doublings of a tenth of a millisecond are close to an hour. */
const bucketCount = bucketsPerDoubling * 25;
/** What was observed counts for one to two of these. */
const generationMs = 30_000;
/** The delay is worked out anew at most this often: reading all buckets for each call would be most of its cost. */
const refreshMs = 250;

export class HedgeDelay {
  readonly #percentile: number;
  readonly #minimumSamples: number;
  #counts: Uint32Array = new Uint32Array(bucketCount);
  #previous: Uint32Array = new Uint32Array(bucketCount);
  #total = 0;
  #previousTotal = 0;
  #startedAt = Number.NEGATIVE_INFINITY;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #delayMs: number | undefined = undefined;

  constructor({ percentile }: HedgeDelayRules) {
    this.#percentile = percentile;
    // Of n samples the share above the true percentile p has a deviation of sqrt(p * (1 - p) / n). With 4 / (1 - p)
    // of them two deviations are no more than 1 - p: hardly ever twice as many hedges as were asked for.
    this.#minimumSamples = Math.round(4 / (1 - percentile));
  }

  /** A first attempt succeeded after so long, or was given up after so long because its hedge was faster. */
  observe(latencyMs: number, now: number): void {
    this.#moveTo(now);
    const index = bucketOf(latencyMs);
    this.#counts[index] = (this.#counts[index] as number) + 1;
    this.#total++;
  }

  /** How long to wait for the first attempt; undefined until enough was observed. */
  delayMs(now: number): number | undefined {
    this.#moveTo(now);
    if (now - this.#refreshedAt >= refreshMs) {
      this.#refreshedAt = now;
      this.#delayMs = this.#read();
    }
    return this.#delayMs;
  }

  #read(): number | undefined {
    const total = this.#total + this.#previousTotal;
    if (total < this.#minimumSamples) return undefined;
    // How many may lie above the bucket that is looked for.
    let above = total * (1 - this.#percentile);
    for (let index = bucketCount - 1; index > 0; index--) {
      above -= (this.#counts[index] as number) + (this.#previous[index] as number);
      if (above < 0) return upperEndOf(index);
    }
    return upperEndOf(0);
  }

  #moveTo(now: number): void {
    const ageMs = now - this.#startedAt;
    if (ageMs < generationMs) return;
    const isNext = ageMs < 2 * generationMs;
    const emptied = this.#previous;
    this.#previous = this.#counts;
    this.#previousTotal = this.#total;
    this.#counts = emptied.fill(0);
    this.#total = 0;
    if (!isNext) {
      this.#previous.fill(0);
      this.#previousTotal = 0;
    }
    this.#startedAt = isNext ? this.#startedAt + generationMs : now;
    this.#refreshedAt = Number.NEGATIVE_INFINITY;
  }
}

function bucketOf(latencyMs: number): number {
  if (!(latencyMs > leastMs)) return 0;
  return Math.min(bucketCount - 1, Math.floor(Math.log2(latencyMs / leastMs) * bucketsPerDoubling));
}

function upperEndOf(index: number): number {
  return leastMs * 2 ** ((index + 1) / bucketsPerDoubling);
}
