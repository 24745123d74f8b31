/**
 * What stands between any source of endpoints and a cluster, so that a registry in trouble costs no calls.
 *
 * Errors never change the set. Bursts are merged, snapshots that change nothing are dropped, an empty set is
 * doubted until it is confirmed, and what went in one large removal is kept as suspect for a while. A source
 * with `subscribe` is the program's own voice: it is checked, and applied at once.
 */
import type { Clock } from "../core/clock.ts";
import type { Discovery } from "../core/contracts.ts";
import type { CheckedEndpoint, Endpoint } from "../core/endpoint.ts";
import type { DiscoveryState } from "../core/observation.ts";
import type { Random } from "../core/random.ts";
import { EndpointChecker } from "./checker.ts";
import { Debounce } from "./debounce.ts";
import { EmptyDoubt } from "./doubt.ts";
import { type GuardedSet, KeptSet } from "./kept-set.ts";
import { LastGood } from "./last-good.ts";
import type { Snapshot, SnapshotStore } from "./snapshot-file.ts";
import { Watcher } from "./watcher.ts";

export type { GuardedSet };

export interface GuardOptions {
  readonly service: string;
  /** What an address without a scheme takes. */
  readonly scheme: "http" | "https";
  /** Whether an empty set is applied once it is confirmed. */
  readonly allowEmpty: boolean;
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds since 1970, for `staleSince`. Default `Date.now`. */
  readonly wallClock?: (() => number) | undefined;
  /** Takes each set that differs from the one before. What it throws is reported. */
  apply(set: GuardedSet): void;
  /** Is told of errors of the source, refused endpoints and doubted sets. */
  report(error: unknown): void;
  /** Keeps the last believed set for the next start. Not used for a source with `subscribe`. */
  readonly snapshot?: { readonly store: SnapshotStore; readonly waitMs: number } | undefined;
  /** After an update, changes are merged until they pause this long. Default 100: a deploy's pushes come closer. */
  readonly debounceMs?: number | undefined;
  /** The longest that a change waits for a pause. Default 1,000: an instance that went must not be called longer. */
  readonly debounceMaxMs?: number | undefined;
  /** How long an empty set is doubted before a fresh list is asked for. Default 10,000: a leader election is over. */
  readonly emptyConfirmMs?: number | undefined;
  /** How long the endpoints of a bulk removal are kept as suspect. Default 60,000: most registries are back by then. */
  readonly suspectGraceMs?: number | undefined;
  /** Ceiling of the first pause after a failure; it doubles with each one. Full jitter. Default 100. */
  readonly backoffMs?: number | undefined;
  /** Ceiling of all pauses. Default 30,000. */
  readonly backoffMaxMs?: number | undefined;
  /** How long a watch must have delivered for the pauses to start from `backoffMs` again. Default 10,000. */
  readonly stableMs?: number | undefined;
}

const defaultGraceMs = 60_000;
const fresh: DiscoveryState = { state: "fresh", staleSince: undefined };

export class Guard {
  readonly #discovery: Discovery;
  readonly #options: GuardOptions;
  readonly #checker: EndpointChecker;
  readonly #watcher: Watcher;
  readonly #debounce: Debounce<readonly Endpoint[]>;
  readonly #doubt: EmptyDoubt;
  readonly #set: KeptSet;
  readonly #lastGood: LastGood | undefined;
  /** The set in use is a remembered one: no source has named it. */
  #isRecalled = false;
  #state: DiscoveryState = { state: "never", staleSince: undefined };
  #unsubscribe: (() => void) | undefined;
  #phase: "new" | "started" | "closed" = "new";

  constructor(discovery: Discovery, options: GuardOptions) {
    const {
      clock,
      random,
      service,
      debounceMs = 100,
      debounceMaxMs = 1_000,
      emptyConfirmMs = 10_000,
    } = options;
    const {
      backoffMs = 100,
      backoffMaxMs = 30_000,
      stableMs = 10_000,
      suspectGraceMs = defaultGraceMs,
    } = options;
    this.#discovery = discovery;
    this.#options = options;
    this.#set = new KeptSet({
      clock,
      graceMs: suspectGraceMs,
      apply: (set) => this.#apply(set),
      isFresh: () => this.#state.state === "fresh",
    });
    this.#checker = new EndpointChecker({ scheme: options.scheme });
    this.#debounce = new Debounce(clock, debounceMs, debounceMaxMs, (endpoints) => this.#accept(endpoints));
    this.#doubt = new EmptyDoubt(clock, emptyConfirmMs, () => this.#relist());
    const { wallClock = Date.now } = options;
    const snapshot = discovery.subscribe === undefined ? options.snapshot : undefined;
    this.#lastGood =
      snapshot &&
      new LastGood({
        ...snapshot,
        service,
        clock,
        wallClock,
        recall: (remembered) => this.#recall(remembered),
        report: (error) => this.#report(error),
      });
    this.#watcher = new Watcher(
      discovery,
      { service, clock, random, backoffMs, backoffMaxMs, stableMs },
      {
        snapshot: (endpoints) => this.#debounce.push(endpoints),
        failed: (error) => this.#failed(error),
        ended: (silent) => this.#ended(silent),
      },
    );
  }

  get state(): DiscoveryState {
    return this.#state;
  }

  /** Begins to watch or subscribe. The set of a source with `subscribe` has been applied when this returns. */
  start(): void {
    if (this.#phase !== "new") return;
    this.#phase = "started";
    if (this.#discovery.subscribe === undefined) {
      this.#lastGood?.start();
      this.#watcher.start();
    } else this.#subscribe(this.#discovery.subscribe.bind(this.#discovery));
  }

  /** The set may have changed: a source that asks at intervals may ask sooner. */
  wake(): void {
    this.#watcher.wake();
  }

  /** A connection or a check to this endpoint failed: if it is suspect, it is dropped now. */
  confirmGone(key: string): void {
    this.#set.confirmGone(key);
  }

  /** Releases the source and every timer. Nothing is applied or reported afterwards. */
  close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#watcher.close();
    this.#lastGood?.close();
    this.#debounce.close();
    this.#doubt.clear();
    this.#set.close();
    this.#unsubscribe?.();
  }

  #subscribe(subscribe: NonNullable<Discovery["subscribe"]>): void {
    try {
      const unsubscribe = subscribe((endpoints) => this.#take(endpoints));
      // `apply` may have closed the guard.
      if (this.#phase === "started") this.#unsubscribe = unsubscribe;
      else unsubscribe();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    // What came before the error counts, and only then is it stale.
    this.#debounce.flush();
    this.#becomeStale();
    this.#report(error);
    this.#lastGood?.sourceFailed();
  }

  #ended(silent: boolean): void {
    this.#debounce.flush();
    if (!silent) return;
    this.#report(new Error(`${this.#options.service}: discovery ended without naming a set`));
    this.#lastGood?.sourceFailed();
  }

  /** Uses a set of an earlier start, as stale, while nothing else is known. */
  #recall({ endpoints, savedAt }: Snapshot): void {
    // An empty answer is as good as none, unless it may be meant.
    if (this.#set.size > 0 || (this.#state.state !== "never" && this.#options.allowEmpty)) return;
    const errors: unknown[] = [];
    const next = this.#check(endpoints, errors);
    if (next !== undefined && next.size > 0) {
      const { service } = this.#options;
      const since = new Date(savedAt).toISOString();
      errors.push(
        new Error(`${service}: discovery has named no set; ${next.size} endpoints of ${since} are used`),
      );
      this.#state = { state: "stale", staleSince: savedAt };
      this.#isRecalled = true;
      this.#set.replace(next);
    }
    this.#reportAll(errors);
  }

  #relist(): void {
    // What is held back must not pass for the fresh list.
    this.#debounce.flush();
    this.#watcher.relist();
  }

  /** A set that the program itself made: checked, and used as it is. */
  #take(endpoints: readonly Endpoint[]): void {
    const errors: unknown[] = [];
    const next = this.#check(endpoints, errors);
    if (next === undefined) {
      this.#becomeStale();
    } else {
      this.#state = fresh;
      this.#set.replace(next);
    }
    this.#reportAll(errors);
  }

  /** A set from outside. */
  #accept(endpoints: readonly Endpoint[]): void {
    const { service, suspectGraceMs } = this.#options;
    const errors: unknown[] = [];
    const next = this.#check(endpoints, errors);
    if (next === undefined) {
      this.#becomeStale();
    } else if (next.size > 0 || this.#set.size === 0) {
      this.#doubt.clear();
      this.#state = fresh;
      // A set of an earlier start is no evidence against what the source says now.
      if (this.#isRecalled) this.#set.replace(next);
      else
        this.#set.update(next, (removed, known) => {
          const kept = `they stay as suspect for up to ${suspectGraceMs ?? defaultGraceMs} ms`;
          errors.push(new Error(`${service}: one update removed ${removed} of ${known} endpoints; ${kept}`));
        });
      this.#isRecalled = false;
      if (next.size === 0) this.#lastGood?.sourceFailed();
    } else if (this.#isBelievedEmpty(errors)) {
      this.#state = fresh;
      this.#set.replace(next);
      this.#isRecalled = false;
    } else {
      this.#becomeStale();
    }
    this.#reportAll(errors);
  }

  #check(endpoints: readonly Endpoint[], errors: unknown[]): Map<string, CheckedEndpoint> | undefined {
    try {
      const next = new Map<string, CheckedEndpoint>();
      for (const endpoint of this.#checker.check(endpoints, (error) => errors.push(error))) {
        next.set(endpoint.address.text, endpoint);
      }
      return next;
    } catch (error) {
      errors.push(error);
      return undefined;
    }
  }

  /** Whether to empty the set in use. */
  #isBelievedEmpty(errors: unknown[]): boolean {
    const { service, allowEmpty } = this.#options;
    const known = `the ${this.#set.size} known`;
    const verdict = this.#doubt.judge();
    if (verdict === "raised") {
      errors.push(
        new Error(`${service}: discovery reports no usable endpoint; ${known} stay until that is sure`),
      );
    } else if (verdict === "confirmed") {
      const what = allowEmpty ? `${known} are dropped, as allowEmpty is set` : `${known} stay in use`;
      errors.push(new Error(`${service}: discovery still reports no usable endpoint; ${what}`));
    }
    return allowEmpty && (verdict === "confirmed" || verdict === "believed");
  }

  #becomeStale(): void {
    if (this.#state.state !== "fresh") return;
    const wallClock = this.#options.wallClock ?? Date.now;
    this.#state = { state: "stale", staleSince: wallClock() };
  }

  #apply(set: GuardedSet): boolean {
    if (this.#state.state === "fresh" && set.endpoints.length > 0) this.#lastGood?.known(set.endpoints);
    try {
      this.#options.apply(set);
      return true;
    } catch (error) {
      this.#report(error);
      return false;
    }
  }

  /** Last of all, so that a listener that acts on an error meets a settled guard. */
  #reportAll(errors: readonly unknown[]): void {
    for (const error of errors) this.#report(error);
  }

  #report(error: unknown): void {
    if (this.#phase === "started") this.#options.report(error);
  }
}
