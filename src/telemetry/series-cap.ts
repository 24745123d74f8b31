/**
 * How many nodes and services get series of their own: a limited number of places, given to whoever comes first.
 *
 * A metric with the node in its labels is as many series as there ever were nodes, and a service of pods has new
 * addresses with every deploy. What finds no place is counted together, as "other". A row that is retired (its node
 * is gone) keeps its place, so that its last figures can still be read, until another one needs it.
 */

/** The label of all that has no place of its own. */
export const other = "other";

export class SeriesCap<Row> {
  readonly #limit: number;
  readonly #onEvict: (row: Row) => void;
  readonly #held: Set<Row> = new Set();
  readonly #retired: Set<Row> = new Set();

  /** @param onEvict told of a retired row whose place another one takes. */
  constructor(limit: number, onEvict: (row: Row) => void) {
    this.#limit = limit;
    this.#onEvict = onEvict;
  }

  get size(): number {
    return this.#held.size;
  }

  /** A place for a new row, or undefined when there is none. */
  claim(create: () => Row): Row | undefined {
    if (this.#held.size >= this.#limit && !this.#evict()) return undefined;
    const row = create();
    this.#held.add(row);
    return row;
  }

  /** The row is needed no more; it stays for as long as nobody else wants its place. */
  retire(row: Row): void {
    if (this.#held.has(row)) this.#retired.add(row);
  }

  /** Takes `retire` back. */
  revive(row: Row): void {
    this.#retired.delete(row);
  }

  /** Gives the place back. */
  release(row: Row): void {
    this.#held.delete(row);
    this.#retired.delete(row);
  }

  #evict(): boolean {
    for (const row of this.#retired) {
      this.release(row);
      this.#onEvict(row);
      return true;
    }
    return false;
  }
}
