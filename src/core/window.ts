/** A sum over the last stretch of time, kept in slots, so that old amounts fall out of it. */

/**
 * Adds up amounts over a sliding window. The window moves in steps of `windowMs / slots`; an amount counts for
 * at least `windowMs - windowMs / slots` and at most `windowMs`.
 */
export class SlidingSum {
  readonly #slotMs: number;
  readonly #slots: Float64Array;
  #sum = 0;
  #head = Number.NEGATIVE_INFINITY;

  constructor(windowMs: number, slots = 10) {
    this.#slotMs = windowMs / slots;
    this.#slots = new Float64Array(slots);
  }

  add(amount: number, now: number): void {
    this.#moveTo(now);
    const index = this.#head % this.#slots.length;
    this.#slots[index] = (this.#slots[index] as number) + amount;
    this.#sum += amount;
  }

  /** What was added within the window that ends at `now`. */
  sum(now: number): number {
    this.#moveTo(now);
    return this.#sum;
  }

  clear(): void {
    this.#slots.fill(0);
    this.#sum = 0;
  }

  #moveTo(now: number): void {
    const slot = Math.floor(now / this.#slotMs);
    if (slot <= this.#head) return;
    const count = this.#slots.length;
    if (slot - this.#head >= count) {
      this.clear();
    } else {
      for (let passed = this.#head + 1; passed <= slot; passed++) this.#slots[passed % count] = 0;
      // Added up anew: to subtract what went would leave the rounding of fractions behind, and let it grow.
      this.#sum = 0;
      for (const amount of this.#slots) this.#sum += amount;
    }
    this.#head = slot;
  }
}
