/**
 * How long the event loop has worked on calls without a pause: with none, something waits that nobody has looked at.
 *
 * For new connections that is the only sign. Node.js accepts one of them in a turn of the loop, so that those that wait are
 * in the kernel's queue, and each turn is short while they wait for seconds: until their callers have gone, who come back
 * with a connection that is new again. A loop that pauses has emptied that queue, whatever came before. So has one that
 * goes on without a call for some time, with work of its own that lets others in between. Some turns would not do: in an
 * overload many in a row are taken by connections whose callers have gone.
 */
import { CallWork } from "./call-work.ts";

/** Less than this is no pause, but what looking for work takes where there is some: that takes microseconds. */
const shortestPauseMs = 0.1;

export interface LoopPauseOptions {
  /** For how long the loop had nothing to do, in all. */
  readonly idleMs: () => number;
  readonly now: () => number;
  /** Calls back at the end of the turn: `setImmediate`. */
  readonly afterTurn: (callback: () => void) => void;
  /** See `CallWork`. Longer than this without a call is a pause, too. */
  readonly mostPerCallMs: number;
}

export class LoopPause {
  readonly #options: LoopPauseOptions;
  readonly #work: CallWork;
  #idleBeforeMs = 0;
  /** The end of the last turn with a call. The first call comes after a pause, however long the program took to start. */
  #turnEndedAt: number | undefined = Number.NEGATIVE_INFINITY;

  constructor(options: LoopPauseOptions) {
    this.#options = options;
    this.#work = new CallWork(options.mostPerCallMs);
  }

  /** Asked for each call that comes in. At the least: a pause counts from when it is seen. */
  workedMs(now: number): number {
    const hasPaused = this.#hasPaused(now);
    if (this.#turnEndedAt !== undefined) {
      this.#turnEndedAt = undefined;
      this.#options.afterTurn(this.#onTurnEnd);
    }
    return hasPaused ? this.#work.startWith(now) : this.#work.goOnWith(now);
  }

  #hasPaused(now: number): boolean {
    const { idleMs, mostPerCallMs } = this.#options;
    const idleBeforeMs = this.#idleBeforeMs;
    this.#idleBeforeMs = idleMs();
    if (this.#idleBeforeMs - idleBeforeMs >= shortestPauseMs) return true;
    return this.#turnEndedAt !== undefined && now - this.#turnEndedAt > mostPerCallMs;
  }

  readonly #onTurnEnd = (): void => {
    this.#turnEndedAt = this.#options.now();
  };
}
