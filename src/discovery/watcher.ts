/**
 * Keeps one source watched: iterates it, and begins again after a pause when it fails.
 *
 * The source is not trusted to behave. Each watch has its own signal; whatever comes from one that was given up,
 * late values and late errors alike, is dropped.
 */
import { fullJitterMs } from "../core/backoff.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import type { Random } from "../core/random.ts";

/** A source that yields more often than this within `burstMs` is paused: it would starve the event loop. */
const mostInBurst = 100;
const burstMs = 100;

/** Who is told what the source does. None of them may throw. */
export interface WatcherEvents {
  snapshot(endpoints: readonly Endpoint[]): void;
  /** The source failed, or told of an error that it deals with by itself. */
  failed(error: unknown): void;
  /** The source returned: its last snapshot is final. `silent` when this watch had none. */
  ended(silent: boolean): void;
}

export interface WatcherOptions {
  readonly service: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** How long a watch must have delivered for the backoff to start from the beginning. */
  readonly stableMs: number;
}

/** One watch, from the call of `watch` to its end. */
interface Session {
  readonly controller: AbortController;
  readonly wakers: Set<() => void>;
  iterator: AsyncIterator<readonly Endpoint[]> | undefined;
  firstSnapshotAt: number | undefined;
  burst: number;
  burstAt: number;
  pause: Timer | undefined;
}

export class Watcher {
  readonly #discovery: Discovery;
  readonly #options: WatcherOptions;
  readonly #events: WatcherEvents;
  /** The watch that counts; undefined while backing off, after the end, and when closed. */
  #session: Session | undefined;
  #backoff: Timer | undefined;
  /** Failures in a row. */
  #failures = 0;
  #closed = false;

  constructor(discovery: Discovery, options: WatcherOptions, events: WatcherEvents) {
    this.#discovery = discovery;
    this.#options = options;
    this.#events = events;
  }

  /** Begins to watch. */
  start(): void {
    if (this.#closed || this.#session !== undefined || this.#backoff !== undefined) return;
    const session: Session = {
      controller: new AbortController(),
      wakers: new Set(),
      iterator: undefined,
      firstSnapshotAt: undefined,
      burst: 0,
      burstAt: this.#options.clock.now(),
      pause: undefined,
    };
    this.#session = session;
    void this.#iterate(session);
  }

  /**
   * Asks for a fresh list: watches anew, also after the end. The next snapshot is from a watch that began after
   * this call.
   */
  relist(): void {
    this.#release();
    // Does nothing while backing off: the watch that follows then begins with a fresh list anyway.
    this.start();
  }

  /** The set may have changed: a source that asks at intervals may ask sooner. */
  wake(): void {
    for (const wake of [...(this.#session?.wakers ?? [])]) wake();
  }

  close(): void {
    this.#closed = true;
    this.#backoff?.cancel();
    this.#backoff = undefined;
    this.#release();
  }

  async #iterate(session: Session): Promise<void> {
    const { clock, service } = this.#options;
    const context: DiscoveryContext = {
      service,
      signal: session.controller.signal,
      wakers: session.wakers,
      report: (error) => {
        if (this.#session === session) this.#events.failed(error);
      },
    };
    try {
      const iterator = this.#discovery.watch(context)[Symbol.asyncIterator]();
      session.iterator = iterator;
      for (;;) {
        // Given up while its `watch` or a listener ran: end it, as `#release` did not know the iterator yet.
        if (this.#session !== session) return void end(iterator);
        const result = await iterator.next();
        if (this.#session !== session) return;
        if (result.done === true) {
          session.iterator = undefined;
          this.#release();
          this.#events.ended(session.firstSnapshotAt === undefined);
          return;
        }
        session.firstSnapshotAt ??= clock.now();
        this.#events.snapshot(result.value);
        await this.#pauseIfFlooded(session);
      }
    } catch (error) {
      if (this.#session === session) this.#retry(session, error);
    }
  }

  #retry(session: Session, error: unknown): void {
    const { clock, random, backoffMs, backoffMaxMs, stableMs } = this.#options;
    const { firstSnapshotAt } = session;
    this.#release();
    if (firstSnapshotAt !== undefined && clock.now() - firstSnapshotAt >= stableMs) this.#failures = 0;
    const delayMs = fullJitterMs(this.#failures++, backoffMs, backoffMaxMs, random);
    this.#backoff = clock.schedule(() => {
      this.#backoff = undefined;
      this.start();
    }, delayMs);
    this.#events.failed(error);
  }

  async #pauseIfFlooded(session: Session): Promise<void> {
    const { clock } = this.#options;
    const now = clock.now();
    if (now - session.burstAt >= burstMs) {
      session.burstAt = now;
      session.burst = 0;
    }
    if (++session.burst < mostInBurst) return;
    await new Promise<void>((resolve) => {
      session.pause = clock.schedule(resolve, burstMs);
    });
  }

  /** Gives the present watch up: nothing that it does from now on counts. */
  #release(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    session.pause?.cancel();
    session.controller.abort();
    if (session.iterator !== undefined) end(session.iterator);
  }
}

/** Lets a generator that waits at a `yield` run its `finally`. What it answers or throws is of no interest. */
function end(iterator: AsyncIterator<unknown>): void {
  try {
    Promise.resolve(iterator.return?.()).catch(() => {});
  } catch {
    // It threw at once; it was given up, so nothing depends on it.
  }
}
