/**
 * Which member of the cluster to talk to next, and after which pause.
 *
 * The first failures lead to the other members at once, as one dead member should cost nothing but a connection
 * attempt. Once all have failed in a row the pauses begin, growing with each further failure and drawn at random,
 * so that a thousand clients do not come back in step.
 */
import { fullJitterMs } from "../../core/backoff.ts";
import type { Random } from "../../core/random.ts";

export interface MembersOptions {
  readonly count: number;
  readonly random: Random;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** A connection that held this long was good: its end is the first failure again. */
  readonly stableMs: number;
}

export class Members {
  readonly #options: MembersOptions;
  #current: number;
  /** In a row. */
  #failures = 0;

  constructor(options: MembersOptions) {
    this.#options = options;
    // Anyone of them, so that clients spread over the members.
    this.#current = Math.floor(options.random() * options.count);
  }

  /** The index of the member to use now. */
  get current(): number {
    return this.#current;
  }

  /**
   * The present member failed, after it had been connected for `heldMs`.
   *
   * @returns how long to wait before `current`, which is another one now if there is one, is tried.
   */
  failed(heldMs: number): number {
    const { count, random, backoffMs, backoffMaxMs, stableMs } = this.#options;
    if (heldMs >= stableMs) this.#failures = 0;
    this.#failures++;
    this.#current = (this.#current + 1) % count;
    if (this.#failures < count) return 0;
    return fullJitterMs(this.#failures - count, backoffMs, backoffMaxMs, random);
  }
}
