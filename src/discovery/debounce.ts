/**
 * Merges values that come in quick succession: the first is passed on at once, the latest of those that follow
 * when they pause.
 *
 * The leading edge keeps a lone change as fast as it can be; the trailing edge turns the hundred pushes of a
 * rolling restart into a few updates.
 */
import type { Clock, Timer } from "../core/clock.ts";

export class Debounce<Value> {
  readonly #clock: Clock;
  readonly #quietMs: number;
  readonly #longestMs: number;
  readonly #emit: (value: Value) => void;
  /** The latest value that waits, and since when one has been waiting. */
  #held: { value: Value; readonly since: number } | undefined;
  /** Set while values are held back. */
  #timer: Timer | undefined;

  /**
   * @param quietMs how long values must pause before the latest is passed on.
   * @param longestMs how long a value waits at most if they never pause.
   */
  constructor(clock: Clock, quietMs: number, longestMs: number, emit: (value: Value) => void) {
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#longestMs = longestMs;
    this.#emit = emit;
  }

  push(value: Value): void {
    if (this.#timer === undefined) {
      this.#wait(this.#quietMs);
      this.#emit(value);
      return;
    }
    const now = this.#clock.now();
    if (this.#held === undefined) this.#held = { value, since: now };
    else this.#held.value = value;
    this.#wait(Math.min(this.#quietMs, this.#held.since + this.#longestMs - now));
  }

  /** Passes on at once what is held back. */
  flush(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#wait(this.#quietMs);
    this.#emit(held.value);
  }

  /** Drops what is held back, and the timer. */
  close(): void {
    this.#held = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #wait(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.schedule(() => {
      this.#timer = undefined;
      this.flush();
    }, delayMs);
  }
}
