/**
 * How many retries a service may cost: a share of its calls plus a small fixed rate.
 *
 * A limit on the attempts of one call does not bound the load when everything fails: with three attempts each,
 * an overloaded service gets three times its load at the worst moment. A budget does: retries stay at
 * `ratio` of the calls, and `minPerSecond` keeps them possible where calls are rare.
 *
 * Source: Finagle's RetryBudget (20% and 10/s over 10 s). Over any 10 s at most
 * `ratio * calls + 10 * minPerSecond` retries are granted.
 */
import { SlidingSum } from "../core/window.ts";

/** Finagle's "ttl": how long a call's contribution counts. */
const windowMs = 10_000;
/**
 * A slot of the windows is a hundredth. A retry counts one slot longer than a call may: what leaves a window
 * leaves it up to a slot early, and the reserve must not be had twice within the 10 s.
 */
const slots = 100;
const slotMs = windowMs / slots;

export interface RetryBudgetOptions {
  /** Retries allowed for each call, from 0. */
  readonly ratio: number;
  /** Retries allowed for each second whatever the calls, from 0. */
  readonly minPerSecond: number;
}

export class RetryBudget {
  readonly #ratio: number;
  readonly #reserve: number;
  readonly #calls: SlidingSum = new SlidingSum(windowMs, slots);
  readonly #retries: SlidingSum = new SlidingSum(windowMs + slotMs, slots + 1);

  constructor({ ratio, minPerSecond }: RetryBudgetOptions) {
    this.#ratio = ratio;
    this.#reserve = (minPerSecond * windowMs) / 1_000;
  }

  /** A new call was admitted. */
  deposit(now: number): void {
    this.#calls.add(1, now);
  }

  /** Takes one retry out of the budget; false, and nothing taken, when less than one is left. */
  withdraw(now: number): boolean {
    if (this.available(now) < 1) return false;
    this.#retries.add(1, now);
    return true;
  }

  /**
   * Whether more than half of what the window grants is left. What is not needed for a call to succeed, as a hedge is,
   * must not use up what a failed call needs (gRPC's retry throttling has the same mark).
   */
  hasPlenty(now: number): boolean {
    const granted = this.#reserve + this.#ratio * this.#calls.sum(now);
    return granted - this.#retries.sum(now) > Math.max(1, granted / 2);
  }

  /** Retries that would be granted now. */
  available(now: number): number {
    return this.#reserve + this.#ratio * this.#calls.sum(now) - this.#retries.sum(now);
  }
}
