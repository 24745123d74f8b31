/** A short time of few calls in an overload, in which the adaptive limit finds out what they take without a queue. */

/**
 * Calls that began in the lull, after those from before had made room, are its samples. All of the first so many are waited
 * for: to take those that end first would be to take the short ones.
 */
export class Lull {
  /** How many calls may be in flight. */
  readonly level: number;
  readonly startedAt: number;
  readonly #giveUpAt: number;
  readonly #wanted: number;
  #begun = 0;
  #ended = 0;
  #sumMs = 0;
  #firstAt = Number.POSITIVE_INFINITY;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(level: number, samples: number, now: number, longestMs: number) {
    this.level = level;
    this.#wanted = samples;
    this.startedAt = now;
    this.#giveUpAt = now + longestMs;
  }

  began(now: number): void {
    if (this.#begun >= this.#wanted) return;
    this.#begun++;
    if (this.#firstAt > now) this.#firstAt = now;
    this.#lastAt = now;
  }

  succeeded(latencyMs: number, now: number): void {
    if (!this.#isSample(latencyMs, now)) return;
    this.#ended++;
    this.#sumMs += latencyMs;
  }

  /** The call failed, or says nothing: another one takes its place. */
  ignored(latencyMs: number, now: number): void {
    if (this.#isSample(latencyMs, now)) this.#begun--;
  }

  isOver(now: number): boolean {
    return this.#ended >= this.#wanted || now >= this.#giveUpAt;
  }

  /** The mean of the samples; undefined when too few calls came. */
  meanMs(): number | undefined {
    return this.#ended > 0 && this.#ended * 2 >= this.#wanted ? this.#sumMs / this.#ended : undefined;
  }

  #isSample(latencyMs: number, now: number): boolean {
    const beganAt = now - latencyMs;
    // A nanosecond for the rounding of the difference.
    return beganAt >= this.#firstAt - 1e-6 && beganAt <= this.#lastAt + 1e-6;
  }
}
