/**
 * Several sources watched side by side, each begun again by itself when it fails, and what is known of each.
 *
 * It tells its owner of changes through one promise, so that a burst of them is one look at the states.
 */
import type { Clock } from "../../core/clock.ts";
import type { Discovery, DiscoveryContext } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import { longestTimerMs } from "../../core/option-reader.ts";
import type { Random } from "../../core/random.ts";
import { Watcher } from "../watcher.ts";

/** What is known of one source. */
export interface SourceState {
  /**
   * `idle`: not watched. `pending`: it has neither answered nor failed. `answering`: its last word is a set. `failing`:
   * its last word is an error. `final`: it has ended, and its set stays.
   */
  readonly phase: "idle" | "pending" | "answering" | "failing" | "final";
  /** When the phase began. */
  readonly since: number;
  /** Its last set. */
  readonly endpoints: readonly Endpoint[] | undefined;
  /** Counts its sets. */
  readonly version: number;
  /** Its last error, while failing. */
  readonly error?: unknown;
}

interface Surroundings {
  readonly context: DiscoveryContext;
  readonly clock: Clock;
  readonly random: Random;
}

// As the guard has them: full jitter from 100 ms to 30 s, from the beginning after 10 s of stability.
const backoffMs = 100;
const backoffMaxMs = 30_000;
const stableMs = 10_000;

export class SourceSet implements Disposable {
  readonly states: SourceState[];
  /** How many errors have been reported. */
  reports = 0;
  readonly #sources: readonly Discovery[];
  readonly #surroundings: Surroundings;
  readonly #watchers: (Watcher | undefined)[];
  /** Whoever may ask sooner is told so, as this one is. */
  readonly #wakeSources = (): void => {
    for (const watcher of this.#watchers) watcher?.wake();
  };
  #changed = false;
  #wake: () => void = () => {};

  constructor(sources: readonly Discovery[], surroundings: Surroundings) {
    this.#sources = sources;
    this.#surroundings = surroundings;
    this.states = sources.map(() => ({ phase: "idle", since: 0, endpoints: undefined, version: 0 }));
    this.#watchers = sources.map(() => undefined);
    surroundings.context.wakers?.add(this.#wakeSources);
  }

  /** Watches a source that is not watched. */
  start(index: number): void {
    const source = this.#sources[index];
    if (source === undefined || this.states[index]?.phase !== "idle") return;
    const { context, clock, random } = this.#surroundings;
    const { service } = context;
    this.#set(index, { phase: "pending" });
    const watcher = new Watcher(
      source,
      { service, clock, random, backoffMs, backoffMaxMs, stableMs },
      {
        snapshot: (endpoints) => {
          const version = (this.states[index]?.version ?? 0) + 1;
          this.#set(index, { phase: "answering", endpoints, version });
        },
        failed: (error) => {
          this.#set(index, { phase: "failing", error });
          this.#report(error);
        },
        ended: (silent) => {
          this.#set(index, { phase: "final" });
          if (silent) this.#report(new Error(`${service}: a source ended without naming a set`));
        },
      },
    );
    this.#watchers[index] = watcher;
    watcher.start();
  }

  /** Gives a source up, and forgets what it said. */
  stop(index: number): void {
    this.#watchers[index]?.close();
    this.#watchers[index] = undefined;
    this.states[index] = { phase: "idle", since: 0, endpoints: undefined, version: 0 };
  }

  /**
   * Resolves at a change since the last call, at `until` on the clock, or when the signal is aborted. Earlier where
   * that is further off than a timer can be set.
   */
  async change(until: number | undefined): Promise<void> {
    const { clock, context } = this.#surroundings;
    const { signal } = context;
    if (!this.#changed && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const finish = (): void => {
          signal.removeEventListener("abort", finish);
          timer?.cancel();
          this.#wake = () => {};
          resolve();
        };
        const isTimed = until !== undefined && Number.isFinite(until);
        const timer = isTimed
          ? clock.schedule(finish, Math.min(longestTimerMs, until - clock.now()))
          : undefined;
        signal.addEventListener("abort", finish);
        this.#wake = finish;
      });
    }
    this.#changed = false;
  }

  /** Says again that sources fail. */
  remind(): void {
    const failing = this.states.filter(({ phase }) => phase === "failing");
    const { service } = this.#surroundings.context;
    const which = `${failing.length} of ${this.states.length} sources still fail`;
    this.#report(new Error(`${service}: ${which}`, { cause: failing[0]?.error }));
  }

  [Symbol.dispose](): void {
    this.#surroundings.context.wakers?.delete(this.#wakeSources);
    for (const index of this.#sources.keys()) this.stop(index);
  }

  #set(index: number, change: Partial<SourceState>): void {
    const before = this.states[index];
    if (before === undefined) return;
    // How long it has been failing counts, and not since which of its errors.
    const since = change.phase === before.phase ? before.since : this.#surroundings.clock.now();
    this.states[index] = { ...before, error: undefined, ...change, since };
    this.#changed = true;
    this.#wake();
  }

  #report(error: unknown): void {
    this.reports++;
    this.#surroundings.context.report(error);
  }
}
