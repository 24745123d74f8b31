/**
 * Where a blocking query of Consul stands: with which index to ask next, and how long to pause after a failure.
 *
 * The index is Consul's to choose, and the rules are those of its documentation ("Blocking Queries"): a lower one
 * than before means that the server's state began anew (a restart, a restored snapshot), so that waiting for a
 * higher one would miss what happens meanwhile; 0 would not block at all. After an error nothing is known of the
 * state, so the next query asks for all of it at once.
 */
import { fullJitterMs } from "../../core/backoff.ts";
import type { Random } from "../../core/random.ts";

/** The first pause is below this, and each further one may be twice as long (discovery.md, rule 7). */
const backoffMs = 100;
const backoffMaxMs = 30_000;
/** A source that answered this long starts from the shortest pause again. */
const stableMs = 10_000;

export class BlockingQuery {
  readonly #random: Random;
  #index = 0;
  /** Failures in a row, but for short successes between them. */
  #failures = 0;
  /** The first answer since the last failure. */
  #answeredAt: number | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** For the next query: 0 to be answered at once, above it to wait for something newer. */
  get index(): number {
    return this.#index;
  }

  /** An answer came, with this X-Consul-Index. */
  answered(index: number, now: number): void {
    this.#answeredAt ??= now;
    const next = Math.max(1, index);
    this.#index = next < this.#index ? 0 : next;
  }

  /** The answer cannot be believed as it is: the next query asks for everything. */
  restart(): void {
    this.#index = 0;
  }

  /** No answer came, or none that can be used. Returns how long to pause before the next query. */
  failed(now: number): number {
    if (this.#answeredAt !== undefined && now - this.#answeredAt >= stableMs) this.#failures = 0;
    this.#answeredAt = undefined;
    this.#index = 0;
    return fullJitterMs(this.#failures++, backoffMs, backoffMaxMs, this.#random);
  }
}
