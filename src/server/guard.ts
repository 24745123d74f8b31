/**
 * Whether a call is let in: the decisions of a server that sheds, without input or output.
 *
 * A call is refused before any work is done for it: when its deadline is over, when this turn of the event loop has taken
 * too long already, and when as many calls are in flight as the limit allows. What matters less is refused earlier. While critical calls come in, a
 * tenth of the limit is kept for them, and three tenths are closed to what is sheddable: under overload the calls in
 * between fill what they may have, so the sheddable ones go first, and all of them, before one of the others does.
 */
import type { CallPriority } from "../core/contracts.ts";
import type { LimitedEnd } from "../resilience/adaptive-limit.ts";

/** What of an adaptive limit is used here. */
export interface ConcurrencyLimit {
  readonly limit: number;
  /** False at the limit: the call is not counted then. */
  begin(now: number): boolean;
  end(kind: LimitedEnd, latencyMs: number, now: number): void;
}

/** Why a call is refused. */
export type RefusalReason = "deadline" | "event loop" | "concurrency";

export interface GuardOptions {
  /** Left out: none. */
  readonly adaptive?: ConcurrencyLimit | undefined;
  /** The most calls in flight, whatever the adaptive limit finds; `Infinity` for none. */
  readonly inflight: number;
  /** For how long a turn of the event loop takes in calls; `Infinity` for as long as it likes. */
  readonly turnMs: number;
  readonly turn: { busyMs(now: number): number };
  readonly pause: { workedMs(now: number): number };
}

/** The part of the limit that is open to calls of a priority. */
const openTo: Readonly<Record<CallPriority, number>> = { critical: 1, default: 0.9, sheddable: 0.7 };
/** The multiple of `turnMs` for which calls of a priority are taken in. */
const turnFor: Readonly<Record<CallPriority, number>> = { critical: 2, default: 1, sheddable: 0.5 };
/**
 * A call on a new connection is refused when the loop has worked for so many times `turnMs` without a pause. At two thirds of
 * its capacity a loop that has 5 ms of work a call hardly ever goes on for as long as that (1% of the calls in the model of
 * `loop-turn.ts`); at three times its capacity and with nothing but new connections it still gets 90% done.
 */
const turnsWithoutPause = 2.5;
/** For how long after a critical call room is kept for more: a program that has none loses nothing. */
const reserveMs = 10_000;

export class Guard {
  readonly #options: GuardOptions;
  #inflight = 0;
  #criticalAt = Number.NEGATIVE_INFINITY;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** Calls that were let in and have not ended. */
  get inflight(): number {
    return this.#inflight;
  }

  /** The most that may be in flight now. */
  get limit(): number {
    const { adaptive, inflight } = this.#options;
    return adaptive === undefined ? inflight : Math.min(adaptive.limit, inflight);
  }

  /**
   * Lets a call in and counts it, or says why not. Every call that is let in is paired with one `end`.
   *
   * @param endsAt its deadline; `Infinity` for none.
   * @param isFresh it is the first one on its connection.
   */
  admit(priority: CallPriority, endsAt: number, isFresh: boolean, now: number): RefusalReason | undefined {
    if (priority === "critical") this.#criticalAt = now;
    if (endsAt <= now) return "deadline";
    if (this.#isBehind(priority, isFresh, now)) return "event loop";
    if (this.#inflight >= this.#mark(priority, now)) return "concurrency";
    const { adaptive } = this.#options;
    if (adaptive !== undefined && !adaptive.begin(now)) return "concurrency";
    this.#inflight++;
    return undefined;
  }

  /** @param latencyMs what the handler took until it answered. */
  end(result: LimitedEnd, latencyMs: number, now: number): void {
    this.#inflight--;
    this.#options.adaptive?.end(result, latencyMs, now);
  }

  #isBehind(priority: CallPriority, isFresh: boolean, now: number): boolean {
    const { turnMs, turn, pause } = this.#options;
    if (turnMs === Number.POSITIVE_INFINITY) return false;
    const most = turnMs * turnFor[priority];
    // Both of every call: they count what lies between them.
    const busyMs = turn.busyMs(now);
    const workedMs = pause.workedMs(now);
    return busyMs > most || (isFresh && workedMs > most * turnsWithoutPause);
  }

  #mark(priority: CallPriority, now: number): number {
    const { limit } = this;
    const isOpen = priority === "default" && now - this.#criticalAt >= reserveMs;
    return isOpen ? limit : Math.max(1, Math.floor(limit * openTo[priority]));
  }
}
