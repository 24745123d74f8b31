/**
 * For how long the present turn of the event loop has been at work on calls: what a call that comes in now has waited
 * behind others of the same turn, and about what it waited before it.
 *
 * An overloaded event loop finds more calls in each turn, and each turn takes longer. What of a turn goes beyond a fixed time
 * is refused: turns stay that long, and so does the wait, at any overload. A part of the calls by an average of the delay, as
 * `monitorEventLoopDelay` has it, does not do: it comes a window late, and a part can be right only by way of a delay that is
 * too long. In a model of an event loop at three times its capacity, with calls of 5 ms and 300 ms to answer them, 6%
 * of the capacity came to something by an average of 100 ms (93% by a tuned controller), and 96% by turns of 100 ms.
 * A turn that is long without any call, for a garbage collection or while a program starts, costs no call.
 */
export class LoopTurn {
  readonly #afterTurn: (callback: () => void) => void;
  #since: number | undefined;

  /** @param afterTurn calls back at the end of the turn: `setImmediate`. */
  constructor(afterTurn: (callback: () => void) => void) {
    this.#afterTurn = afterTurn;
  }

  /** Asked for each call that comes in; 0 for the first one of a turn. */
  busyMs(now: number): number {
    if (this.#since !== undefined) return now - this.#since;
    this.#since = now;
    this.#afterTurn(this.#onEnd);
    return 0;
  }

  readonly #onEnd = (): void => {
    this.#since = undefined;
  };
}
