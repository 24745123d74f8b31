/**
 * Counts probes in a row: `fall` failed ones take a node out, `rise` passed ones bring it back.
 *
 * Two thresholds, so that a node at the edge does not change sides with each probe (HAProxy, Envoy and Kubernetes all
 * count this way).
 */

export interface RiseFallRules {
  /** Passed probes in a row that bring a node back. */
  readonly rise: number;
  /** Failed probes in a row that take a node out. */
  readonly fall: number;
}

export type Verdict = "unknown" | "passing" | "failing";

export class RiseFall {
  readonly #rules: RiseFallRules;
  #verdict: Verdict = "unknown";
  #passed = 0;
  #failed = 0;

  constructor(rules: RiseFallRules) {
    this.#rules = rules;
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  /** Failed probes since the last one that passed. */
  get failedInARow(): number {
    return this.#failed;
  }

  /**
   * Counts one probe.
   *
   * @returns whether the verdict is settled by it: enough probes in a row say the same. The very first that passes is
   *   enough, as a node that nothing is known of counts as healthy anyway.
   */
  count(passed: boolean): boolean {
    if (passed) {
      this.#failed = 0;
      this.#passed++;
      if (this.#verdict !== "unknown" && this.#passed < this.#rules.rise) return false;
      this.#verdict = "passing";
      return true;
    }
    this.#passed = 0;
    this.#failed++;
    if (this.#failed < this.#rules.fall) return false;
    this.#verdict = "failing";
    return true;
  }
}
