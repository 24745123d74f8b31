/**
 * What a call inherits from the handler that makes it: its deadline, its abort, its priority. The handler in turn
 * learns of a failure that nothing stood in for.
 *
 * Made only for calls within a handler's context. It is its own listener: a call has no function made for it.
 */
import type { CallPriority } from "../core/contracts.ts";
import type { CallContext } from "../resilience/call-context.ts";

/** The call, as its context ends it. */
interface Heir {
  abort(reason: Error): void;
  /** The time is over. */
  outOfTime(): void;
}

export class InheritedContext {
  readonly #context: CallContext;
  readonly #heir: Heir;

  constructor(context: CallContext, heir: Heir) {
    this.#context = context;
    this.#heir = heir;
    if (context.signal?.aborted === false) context.signal.addEventListener("abort", this, { once: true });
  }

  get priority(): CallPriority | undefined {
    return this.#context.priority;
  }

  /** Of the handler; aborted when nobody waits for its result any more. */
  get signal(): AbortSignal | undefined {
    return this.#context.signal;
  }

  /** The deadline that no option of the call's can lift, on the clock that says `now`; `Infinity` for none. */
  endsAt(now: number): number {
    return now + this.#context.remainingMs();
  }

  /** What the signal calls. */
  handleEvent(): void {
    const reason: unknown = this.#context.signal?.reason;
    // A handler's time ran out, which its signal tells as well: that is no change of mind of the caller's.
    if (this.#context.remainingMs() > 0 && !isTimeout(reason)) this.#heir.abort(reason as Error);
    else this.#heir.outOfTime();
  }

  /** The call is over, and hears no more of the context. */
  left(): void {
    this.#context.signal?.removeEventListener("abort", this);
  }

  /**
   * Nothing stood in for what failed. What could be done was done here: whoever waits for this program's own answer need
   * not ask for it again.
   */
  noteFailure(): void {
    this.#context.noteFailureBelow();
  }
}

/** A context ends with one at its deadline, or a little before: timers may be early, and callers leave in time. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}
