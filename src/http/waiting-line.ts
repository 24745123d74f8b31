/** The calls that wait for one of a node's connections, the oldest first; bounded in number and in time. */
import { AsyncResource } from "node:async_hooks";
import type { Dispatcher } from "undici";
import type { Clock, Timer } from "../core/clock.ts";
import { BalancerError } from "../core/errors.ts";
import type { AttemptObserver } from "./attempt-observer.ts";

export interface WaitingLineOptions {
  /** For messages. */
  readonly service: string;
  readonly address: string;
  /** The most that wait. */
  readonly queue: number;
  /** How long one waits. */
  readonly queueMs: number;
  readonly clock: Clock;
  /** The node's first connection is being made: how long that may take is `connectMs`, and the node's to answer for. */
  readonly isConnecting: () => boolean;
  /** Told how the number of those that wait changes. */
  readonly counted: (change: 1 | -1) => void;
}

interface Waiting {
  readonly options: Dispatcher.DispatchOptions;
  readonly until: number;
  /** The caller's async context: whoever frees a connection runs in another one. */
  readonly context: AsyncResource;
}

export class WaitingLine {
  readonly #options: WaitingLineOptions;
  readonly #waiting: Map<AttemptObserver, Waiting> = new Map();
  #timer: Timer | undefined = undefined;

  constructor(options: WaitingLineOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Joins the line; where that is too long already, the attempt fails at once. */
  add(observer: AttemptObserver, options: Dispatcher.DispatchOptions, now: number): void {
    const { queue, queueMs, address } = this.#options;
    if (this.#waiting.size >= queue) {
      this.#refuse(observer, `${address} has all its connections in use, and ${queue} calls wait for one`);
      return;
    }
    const context = new AsyncResource("EVENKEEL_WAITING_CALL");
    this.#waiting.set(observer, { options, until: now + queueMs, context });
    this.#options.counted(1);
    this.#timer ??= this.#options.clock.schedule(() => this.#expire(), queueMs);
  }

  /** Leaves the line. */
  delete(observer: AttemptObserver): void {
    if (this.#waiting.delete(observer)) this.#options.counted(-1);
  }

  /** Hands the first one over, in the context that it came in. False if nobody waits. */
  shift(take: (observer: AttemptObserver, options: Dispatcher.DispatchOptions) => void): boolean {
    for (const [observer, { options, context }] of this.#waiting) {
      this.delete(observer);
      context.runInAsyncScope(take, undefined, observer, options);
      return true;
    }
    return false;
  }

  failFirst(error: Error): void {
    this.shift((observer) => observer.failed(error, "unsent"));
  }

  /** Fails those who joined at `joinedBy` or earlier, and the first in any case. */
  failThose(error: Error, joinedBy: number): void {
    const latest = joinedBy + this.#options.queueMs;
    const early = Array.from(this.#waiting).filter(([, { until }]) => until <= latest);
    for (let left = Math.max(1, early.length); left > 0; left--) this.failFirst(error);
  }

  failAll(error: Error): void {
    // Whoever fails may join again: the line as it is now is what fails.
    for (let left = this.#waiting.size; left > 0; left--) this.failFirst(error);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #expire(): void {
    const { clock, queueMs, address, isConnecting } = this.#options;
    this.#timer = undefined;
    const now = clock.now();
    const isExempt = isConnecting();
    for (const [observer, { until }] of this.#waiting) {
      if (isExempt || until > now) break;
      this.delete(observer);
      this.#refuse(observer, `${address} had no connection free within ${queueMs} ms`);
    }
    const [next] = this.#waiting.values();
    if (next === undefined) return;
    const delayMs = isExempt ? queueMs : next.until - now;
    this.#timer ??= clock.schedule(() => this.#expire(), Math.max(1, delayMs));
  }

  #refuse(observer: AttemptObserver, message: string): void {
    observer.failed(new BalancerError("ERR_OVERLOADED", this.#options.service, message), "unsent");
  }
}
