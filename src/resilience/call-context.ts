/**
 * What the calls of a handler inherit from the call that it answers: its deadline, its abort, its priority.
 *
 * It travels through the program in an AsyncLocalStorage, so that no function has to hand it on.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type Clock, systemClock } from "../core/clock.ts";
import type { CallPriority } from "../core/contracts.ts";

/** @internal */
export interface CallContextOptions {
  /** When all of it must be over, on `clock`; `Infinity` for no deadline. */
  readonly endsAt: number;
  /** Aborted when nobody waits for the result any more. */
  readonly signal?: AbortSignal | undefined;
  readonly priority?: CallPriority | undefined;
  readonly clock?: Clock | undefined;
}

/** One handler's context. A context within another one is never longer than that, and ends with it. @internal */
export class CallContext {
  readonly endsAt: number;
  readonly signal: AbortSignal | undefined;
  readonly priority: CallPriority | undefined;
  readonly clock: Clock;
  readonly #outer: CallContext | undefined;
  #failedBelow = false;

  constructor({ endsAt, signal, priority, clock = systemClock }: CallContextOptions, outer?: CallContext) {
    const outerEndsAt = outer === undefined ? Number.POSITIVE_INFINITY : clock.now() + outer.remainingMs();
    this.endsAt = Math.min(endsAt, outerEndsAt);
    this.signal = joined(signal, outer?.signal);
    this.priority = priority ?? outer?.priority;
    this.clock = clock;
    this.#outer = outer;
  }

  /** What is left until the deadline, 0 or less when it is over; `Infinity` without one. */
  remainingMs(): number {
    return this.endsAt - this.clock.now();
  }

  /**
   * A call made here failed for good after the layer next to the fault had tried what may be tried: whoever waits for
   * this handler gains nothing by asking again.
   */
  get failedBelow(): boolean {
    return this.#failedBelow;
  }

  noteFailureBelow(): void {
    this.#failedBelow = true;
    this.#outer?.noteFailureBelow();
  }
}

const storage = new AsyncLocalStorage<CallContext>();

/** The context that the running code belongs to. @internal */
export function currentContext(): CallContext | undefined {
  return storage.getStore();
}

/** Runs `work`, and all that it starts, in the context. @internal */
export function runInContext<T>(context: CallContext, work: () => T): T {
  return storage.run(context, work);
}

/**
 * Gives all calls that `work` makes, however deep and to whatever service, one deadline together. A deadline that holds
 * already, of a handler under `evenkeel/server` or another `withDeadline`, is never made longer.
 *
 * @param timeoutMs from 0; a fraction is kept.
 * @throws RangeError when `timeoutMs` is not such a number.
 *
 * @example
 * const page = await withDeadline(500, async () => {
 *   const [order, user] = await Promise.all([orders.fetch("/v1/orders/42"), users.fetch("/v1/users/7")]);
 *   return { order: await order.json(), user: await user.json() };
 * });
 */
export function withDeadline<T>(timeoutMs: number, work: () => T): T {
  if (!(timeoutMs >= 0)) throw new RangeError(`timeoutMs must be a number from 0, got ${String(timeoutMs)}`);
  const context = new CallContext({ endsAt: systemClock.now() + timeoutMs }, currentContext());
  return storage.run(context, work);
}

/** How long the running code has until the deadline that it inherited; `Infinity` without one. */
export function remainingMs(): number {
  return storage.getStore()?.remainingMs() ?? Number.POSITIVE_INFINITY;
}

function joined(own: AbortSignal | undefined, outer: AbortSignal | undefined): AbortSignal | undefined {
  if (own === undefined || outer === undefined || own === outer) return own ?? outer;
  return AbortSignal.any([own, outer]);
}
