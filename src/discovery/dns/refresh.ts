/** When DNS is asked again: pure arithmetic over what the last answers were. */
import { equalJitterMs } from "../../core/backoff.ts";
import { longestTimerMs } from "../../core/option-reader.ts";
import type { Random } from "../../core/random.ts";

export interface RefreshOptions {
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  readonly random: Random;
}

/**
 * By how much a refresh may come later than the time to live ends, as a share of it. Later and not sooner: a cache
 * that is asked too early only tells the rest of the time. A tenth spreads the programs that started together.
 */
const jitter = 0.1;

export class Refresh {
  readonly #options: RefreshOptions;
  /** Answers in a row that brought no records. */
  #failures = 0;

  constructor(options: RefreshOptions) {
    this.#options = options;
  }

  /** After records. @param ttlMs undefined where the records tell none. */
  afterRecords(ttlMs: number | undefined): number {
    this.#failures = 0;
    const { minRefreshMs, maxRefreshMs, random } = this.#options;
    const clamped = Math.min(maxRefreshMs, Math.max(minRefreshMs, ttlMs ?? minRefreshMs));
    return Math.min(longestTimerMs, clamped * (1 + jitter * random()));
  }

  /**
   * After an error, or an answer that there are no records: at first after `minRefreshMs`, then twice as long each
   * time. Half of it is fixed, as two answers within a moment confirm nothing.
   */
  afterFailure(): number {
    const { minRefreshMs, maxRefreshMs, random } = this.#options;
    return equalJitterMs(this.#failures++, minRefreshMs, maxRefreshMs, random);
  }
}
