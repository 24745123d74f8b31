/** A sum over the last stretch of time, kept in slots, so that old amounts fall out of it. */

/**
 * Adds up amounts over a sliding window. The window moves in steps of `windowMs / slots`; an amount counts for
 * at least `windowMs - windowMs / slots` and at most `windowMs`.
 */
export class SlidingSum {
  readonly #slotMs: number;
  /** But for the latest slot, which is added to with each call and kept apart until it is over. */
  readonly #slots: Float64Array;
  /** Over all of them. */
  #earlier = 0;
  #latest = 0;
  /** Which slot the latest is, counted from the clock's start, and when the next one begins. */
  #head = Number.NEGATIVE_INFINITY;
  #headEndsAt = Number.NEGATIVE_INFINITY;

  constructor(windowMs: number, slots = 10) {
    this.#slotMs = windowMs / slots;
    this.#slots = new Float64Array(slots);
  }

  add(amount: number, now: number): void {
    if (now >= this.#headEndsAt) this.#moveTo(now);
    this.#latest += amount;
  }

  /** What was added within the window that ends at `now`. */
  sum(now: number): number {
    if (now >= this.#headEndsAt) this.#moveTo(now);
    return this.#earlier + this.#latest;
  }

  clear(): void {
    this.#slots.fill(0);
    this.#earlier = 0;
    this.#latest = 0;
  }

  #moveTo(now: number): void {
    const slot = Math.floor(now / this.#slotMs);
    if (slot <= this.#head) return;
    const count = this.#slots.length;
    if (slot - this.#head >= count) {
      this.clear();
    } else {
      this.#slots[this.#head % count] = this.#latest;
      this.#latest = 0;
      for (let passed = this.#head + 1; passed <= slot; passed++) this.#slots[passed % count] = 0;
      // Added up anew: to subtract what went would leave the rounding of fractions behind, and let it grow.
      this.#earlier = 0;
      for (const amount of this.#slots) this.#earlier += amount;
    }
    this.#head = slot;
    this.#headEndsAt = (slot + 1) * this.#slotMs;
  }
}
