/**
 * Sorts many uniform hashes in slices: a bucket sort, so that each step is short and their number is known.
 *
 * With about one hash to a bucket, the buckets also are the index that finds a place among the sorted hashes in
 * constant time, where a binary search over a million of them waits for memory twenty times.
 */
export class SlicedSort {
  /** The places of the hashes in order, once done. */
  readonly order: Uint32Array<ArrayBuffer>;
  /** For each bucket, where it begins in `order`; one more for the end. */
  readonly starts: Uint32Array<ArrayBuffer>;
  /** The bucket of a hash is what is left of it after this shift to the right. */
  readonly shift: number;

  readonly #hashes: Uint32Array;
  readonly #isBefore: (left: number, right: number) => boolean;
  #phase: "count" | "sum" | "place" | "sort" | "done" = "count";
  #position = 0;

  /**
   * @param isBefore decides between the places of two equal hashes, so that the order never depends on the input's.
   * @param allocate makes an array of this length, whatever is in it.
   */
  constructor(
    hashes: Uint32Array,
    isBefore: (left: number, right: number) => boolean,
    allocate: (length: number) => Uint32Array<ArrayBuffer> = (length) => new Uint32Array(length),
  ) {
    const bits = Math.min(24, Math.max(1, Math.floor(Math.log2(hashes.length))));
    this.#hashes = hashes;
    this.#isBefore = isBefore;
    this.shift = 32 - bits;
    this.order = allocate(hashes.length);
    this.starts = allocate(2 ** bits + 1).fill(0);
    this.starts[2 ** bits] = hashes.length;
  }

  /** Works for about `steps` steps; returns how many it took, fewer than given only when all is done. */
  advance(steps: number): number {
    let left = steps;
    while (left > 0 && this.#phase !== "done") {
      const isOverBuckets = this.#phase === "sum" || this.#phase === "sort";
      const end = isOverBuckets ? this.starts.length - 1 : this.#hashes.length;
      const stop = Math.min(end, this.#position + left);
      left -= stop - this.#position;
      if (this.#phase === "count") this.#count(stop);
      else if (this.#phase === "sum") this.#sum(stop);
      else if (this.#phase === "place") this.#place(stop);
      else this.#sort(stop);
      this.#position = stop;
      if (stop === end) this.#nextPhase();
    }
    return steps - left;
  }

  #nextPhase(): void {
    this.#position = 0;
    if (this.#phase === "count") this.#phase = "sum";
    else if (this.#phase === "sum") this.#phase = "place";
    else if (this.#phase === "place") this.#phase = "sort";
    else this.#phase = "done";
  }

  #count(stop: number): void {
    const { starts, shift } = this;
    for (let place = this.#position; place < stop; place++) {
      const bucket = (this.#hashes[place] as number) >>> shift;
      starts[bucket] = (starts[bucket] as number) + 1;
    }
  }

  /** From how many a bucket has to where it ends. */
  #sum(stop: number): void {
    const { starts } = this;
    for (let bucket = Math.max(1, this.#position); bucket < stop; bucket++) {
      starts[bucket] = (starts[bucket] as number) + (starts[bucket - 1] as number);
    }
  }

  /** Fills the buckets from their ends, which become their starts. */
  #place(stop: number): void {
    const { starts } = this;
    for (let place = this.#position; place < stop; place++) {
      const bucket = (this.#hashes[place] as number) >>> this.shift;
      const spot = (starts[bucket] as number) - 1;
      this.order[spot] = place;
      starts[bucket] = spot;
    }
  }

  /** By insertion: a bucket holds one or two. */
  #sort(stop: number): void {
    const { order, starts } = this;
    for (let bucket = this.#position; bucket < stop; bucket++) {
      const first = starts[bucket] as number;
      const end = starts[bucket + 1] as number;
      for (let next = first + 1; next < end; next++) {
        const place = order[next] as number;
        let spot = next;
        for (; spot > first && this.#isLess(place, order[spot - 1] as number); spot--) {
          order[spot] = order[spot - 1] as number;
        }
        order[spot] = place;
      }
    }
  }

  #isLess(left: number, right: number): boolean {
    const difference = (this.#hashes[left] as number) - (this.#hashes[right] as number);
    return difference < 0 || (difference === 0 && this.#isBefore(left, right));
  }
}
