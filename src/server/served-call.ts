/** One call that was let in: the context that its handler runs in, and its single end. */
import type { Clock, Timer } from "../core/clock.ts";
import type { CallPriority } from "../core/contracts.ts";
import type { LimitedEnd } from "../resilience/adaptive-limit.ts";
import { CallContext, currentContext } from "../resilience/call-context.ts";

/** What counts calls. */
export interface CallCounter {
  readonly clock: Clock;
  /**
   * @param result `ignored` where it says nothing of this server.
   * @param latencyMs until the final headers or, without any, until the end.
   */
  ended(call: ServedCall, result: LimitedEnd, latencyMs: number, now: number): void;
}

export interface Arrival {
  readonly priority: CallPriority;
  /** On the counter's clock; `Infinity` for no deadline. */
  readonly endsAt: number;
  /** Whether the guard counts it. */
  readonly isCounted: boolean;
  /** It is the first one on its connection, as far as that is known. */
  readonly isFresh: boolean;
}

/**
 * A caller whose time is over leaves a little before we know: its clock began earlier, and it may have told us less than
 * it has (`deadline-header.ts`). Who leaves with no more of its time left than this had no time left.
 */
const leavingShare = 0.1;
const longestLeavingMs = 50;

export class ServedCall {
  readonly context: CallContext;
  readonly isCounted: boolean;
  readonly #counter: CallCounter;
  readonly #startedAt: number;
  readonly #controller: AbortController = new AbortController();
  readonly #timer: Timer | undefined;
  readonly #leavingMs: number;
  #answeredAt: number | undefined;
  #isLate = false;
  #isOver = false;

  /** @param onDeadline is told, after the context's signal was aborted, that the deadline passed before the end. */
  constructor(
    counter: CallCounter,
    { priority, endsAt, isCounted }: Omit<Arrival, "isFresh">,
    now: number,
    onDeadline: () => void,
  ) {
    const { clock } = counter;
    this.#counter = counter;
    this.isCounted = isCounted;
    this.#startedAt = now;
    this.#leavingMs = Math.min(longestLeavingMs, (endsAt - now) * leavingShare);
    const { signal } = this.#controller;
    this.context = new CallContext({ endsAt, signal, priority, clock }, currentContext());
    if (endsAt < Number.POSITIVE_INFINITY) {
      this.#timer = clock.schedule(() => {
        this.#expire();
        onDeadline();
      }, endsAt - now);
    }
  }

  /** The final headers go out. */
  answered(): void {
    this.#answeredAt ??= this.#counter.clock.now();
  }

  /** All of the answer has gone out. */
  ended(isFailure: boolean): void {
    this.#end(isFailure ? "failure" : "success");
  }

  /** Nobody waits for it any more. */
  gone(): void {
    if (this.#isOver) return;
    if (this.context.remainingMs() <= this.#leavingMs) this.#expire();
    else this.#controller.abort(new DOMException("The caller has gone.", "AbortError"));
    this.#end("ignored");
  }

  #expire(): void {
    this.#isLate = true;
    this.#controller.abort(new DOMException("The deadline of the call has passed.", "TimeoutError"));
  }

  #end(result: LimitedEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    const now = this.#counter.clock.now();
    const latencyMs = (this.#answeredAt ?? now) - this.#startedAt;
    this.#counter.ended(this, this.#isLate ? "failure" : result, latencyMs, now);
  }
}
