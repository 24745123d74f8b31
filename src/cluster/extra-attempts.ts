/**
 * The ledger of retries and hedges: what they may cost a service all together, and how many may be under way.
 *
 * Two limits guard the nodes against a storm of them: a budget that each call pays into, and the breaker's cap on how
 * many there are at once.
 */
import { RetryBudget } from "../resilience/retry-budget.ts";
import type { ActiveCalls } from "./active-calls.ts";
import type { ResolvedOptions } from "./options.ts";

/** Retries at once that the breaker lets through: Envoy's retry budget, 20% of the calls under way and at least 3. */
const retryShare = 0.2;
const leastRetries = 3;

export class ExtraAttempts {
  readonly #breaker: ResolvedOptions["breaker"];
  readonly #budget: RetryBudget | undefined;
  readonly #activeCalls: ActiveCalls;
  /** Retries and hedges under way, those included that wait for their turn. */
  #underWay = 0;

  constructor(
    { retryBudget, breaker }: Pick<ResolvedOptions, "retryBudget" | "breaker">,
    activeCalls: ActiveCalls,
  ) {
    this.#breaker = breaker;
    this.#budget = retryBudget === undefined ? undefined : new RetryBudget(retryBudget);
    this.#activeCalls = activeCalls;
  }

  /** Each call that goes out pays for a part of one. */
  callAdmitted(now: number): void {
    this.#budget?.deposit(now);
  }

  hasRetryLeft(now: number): boolean {
    return this.#hasRoom && (this.#budget === undefined || this.#budget.available(now) >= 1);
  }

  withdrawRetry(now: number): boolean {
    return this.#hasRoom && this.#withdraw(now);
  }

  hasHedgeLeft(now: number): boolean {
    return this.#hasRoom && (this.#budget === undefined || this.#budget.hasPlenty(now));
  }

  withdrawHedge(now: number): boolean {
    return this.hasHedgeLeft(now) && this.#withdraw(now);
  }

  /** One that was withdrawn is over, or so many of them. */
  ended(count = 1): void {
    this.#underWay -= count;
  }

  /** The breaker's cap. */
  get #hasRoom(): boolean {
    if (this.#breaker === undefined) return true;
    const { retries = Math.max(leastRetries, this.#activeCalls.count * retryShare) } = this.#breaker;
    return this.#underWay < retries;
  }

  #withdraw(now: number): boolean {
    if (this.#budget?.withdraw(now) === false) return false;
    this.#underWay++;
    return true;
  }
}
