/** Time as an argument: everything that needs the time or a timer is handed a `Clock`. */
import { longestTimerMs } from "./option-reader.ts";

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
  /**
   * Calls back once, `delayMs` from now at the earliest, however long that is. The timer does not keep the process alive.
   */
  schedule(callback: () => void, delayMs: number): Timer;
}

class SystemTimer implements Timer {
  #handle: NodeJS.Timeout;

  constructor(callback: () => void, delayMs: number) {
    this.#handle = this.#wait(callback, Math.max(0, Math.ceil(delayMs))).unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }

  keepAlive(alive: boolean): void {
    if (alive) this.#handle.ref();
    else this.#handle.unref();
  }

  /** A deadline that comes from a caller may be any number of years away: it is waited for in parts. */
  #wait(callback: () => void, delayMs: number): NodeJS.Timeout {
    if (!(delayMs > longestTimerMs)) return setTimeout(callback, delayMs);
    return setTimeout(() => {
      const isAlive = this.#handle.hasRef();
      this.#handle = this.#wait(callback, delayMs - longestTimerMs);
      this.keepAlive(isAlive);
    }, longestTimerMs);
  }
}

/** The process's own clock: `performance.now()` and `setTimeout`. */
export const systemClock: Clock = {
  now: () => performance.now(),
  schedule: (callback, delayMs) => new SystemTimer(callback, delayMs),
};
