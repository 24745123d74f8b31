/** Calls per second by address over the last second or so, from counters that only grow. */

const spanMs = 1_000;

interface Sample {
  readonly at: number;
  readonly counts: ReadonlyMap<string, number>;
}

export class Rates {
  readonly #counts: ReadonlyMap<string, number>;
  readonly #samples: Sample[] = [];

  /** @param counts a live map. */
  constructor(counts: ReadonlyMap<string, number>) {
    this.#counts = counts;
  }

  /** Call several times a second. */
  sample(now: number): void {
    this.#samples.push({ at: now, counts: new Map(this.#counts) });
    while (this.#samples.length > 2 && now - (this.#samples[1] as Sample).at >= spanMs) this.#samples.shift();
  }

  perSecond(address: string): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at === first.at) return 0;
    const grown = (last.counts.get(address) ?? 0) - (first.counts.get(address) ?? 0);
    return (grown * 1_000) / (last.at - first.at);
  }
}
