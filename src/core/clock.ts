/** Time as an argument: everything that needs the time or a timer is handed a `Clock`. */

/** A timer that has been set and may still be cancelled. */
export interface Timer {
  /** Cancels the timer. Does nothing when it has fired or was cancelled before. */
  cancel(): void;
  /** Lets the process end while the timer waits (false), or keeps the process alive for it (true). */
  keepAlive(alive: boolean): void;
}

/** A monotonic clock with timers. Wall-clock jumps never reach it. */
export interface Clock {
  /** Milliseconds since an arbitrary start, never going back. Fractions are kept. */
  now(): number;
  /** Calls back once, `delayMs` from now at the earliest. The timer does not keep the process alive. */
  schedule(callback: () => void, delayMs: number): Timer;
}

class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(callback: () => void, delayMs: number) {
    this.#handle = setTimeout(callback, Math.max(0, Math.ceil(delayMs)));
    this.#handle.unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  keepAlive(alive: boolean): void {
    if (alive) this.#handle.ref();
    else this.#handle.unref();
  }
}

/** The process's own clock: `performance.now()` and `setTimeout`. */
export const systemClock: Clock = {
  now: () => performance.now(),
  schedule: (callback, delayMs) => new SystemTimer(callback, delayMs),
};
