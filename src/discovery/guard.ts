/**
 * What stands between any source of endpoints and a cluster, so that a registry in trouble costs no calls.
 *
 * Errors never change the set. Bursts are merged, snapshots that change nothing are dropped, an empty set is
 * doubted until it is confirmed, and what went in one large removal is kept as suspect for a while. A source
 * with `subscribe` is the program's own voice: it is checked, and applied at once.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Discovery } from "../core/contracts.ts";
import type { CheckedEndpoint, Endpoint } from "../core/endpoint.ts";
import type { Random } from "../core/random.ts";
import { EndpointChecker } from "./checker.ts";
import { Debounce } from "./debounce.ts";
import { EmptyDoubt } from "./doubt.ts";
import { shrink } from "./shrink.ts";
import { Watcher } from "./watcher.ts";

/** A set to be used. */
export interface GuardedSet {
  readonly endpoints: readonly CheckedEndpoint[];
  /** Keys of the endpoints, all of them in `endpoints`, that are gone from the source and kept for now. */
  readonly suspects: ReadonlySet<string>;
}

/** How far the set in use can be trusted to be what the source says now. */
export interface DiscoveryState {
  /**
   * `never`: no snapshot has come yet. `stale`: the source failed, or says something that is not believed, since
   * the last good one.
   */
  readonly state: "fresh" | "stale" | "never";
  /** In milliseconds since 1970; undefined unless stale. */
  readonly staleSince: number | undefined;
}

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

const nobody: ReadonlyMap<string, number> = new Map();

export class Guard {
  readonly #discovery: Discovery;
  readonly #options: GuardOptions;
  readonly #checker: EndpointChecker;
  readonly #watcher: Watcher;
  readonly #debounce: Debounce<readonly Endpoint[]>;
  readonly #doubt: EmptyDoubt;
  readonly #suspectGraceMs: number;
  #state: DiscoveryState = { state: "never", staleSince: undefined };
  /** The set in use by key, suspects included; undefined before the first one. */
  #current: ReadonlyMap<string, CheckedEndpoint> | undefined;
  /** Suspects, and when the grace of each ends. */
  #suspects: ReadonlyMap<string, number> = nobody;
  #graceTimer: Timer | undefined;
  /** False after `apply` threw: the next snapshot is then applied even if it changes nothing. */
  #applied = true;
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
    const { backoffMs = 100, backoffMaxMs = 30_000, stableMs = 10_000, suspectGraceMs = 60_000 } = options;
    this.#discovery = discovery;
    this.#options = options;
    this.#suspectGraceMs = suspectGraceMs;
    this.#checker = new EndpointChecker({ scheme: options.scheme });
    this.#debounce = new Debounce(clock, debounceMs, debounceMaxMs, (endpoints) => this.#accept(endpoints));
    this.#doubt = new EmptyDoubt(clock, emptyConfirmMs, () => this.#relist());
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
    if (this.#discovery.subscribe === undefined) this.#watcher.start();
    else this.#subscribe(this.#discovery.subscribe.bind(this.#discovery));
  }

  /** A connection or a check to this endpoint failed: if it is suspect, it is dropped now. */
  confirmGone(key: string): void {
    if (this.#suspects.has(key)) this.#dropSuspects((suspect) => suspect === key);
  }

  /** Releases the source and every timer. Nothing is applied or reported afterwards. */
  close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#watcher.close();
    this.#debounce.close();
    this.#doubt.clear();
    this.#graceTimer?.cancel();
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
  }

  #ended(silent: boolean): void {
    this.#debounce.flush();
    if (silent) this.#report(new Error(`${this.#options.service}: discovery ended without naming a set`));
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
    if (next !== undefined) this.#use(next, nobody);
    for (const error of errors) this.#report(error);
  }

  /** A set from outside. Errors are reported last, when a listener that acts on them meets a settled guard. */
  #accept(endpoints: readonly Endpoint[]): void {
    const errors: unknown[] = [];
    const next = this.#check(endpoints, errors);
    if (next !== undefined) {
      if (next.size > 0 || this.#current === undefined || this.#current.size === 0) {
        this.#doubt.clear();
        this.#use(next, this.#suspectsBeside(next, errors));
      } else if (this.#isBelievedEmpty(errors)) {
        this.#use(next, nobody);
      } else {
        this.#becomeStale();
      }
    }
    for (const error of errors) this.#report(error);
  }

  #check(endpoints: readonly Endpoint[], errors: unknown[]): Map<string, CheckedEndpoint> | undefined {
    try {
      const next = new Map<string, CheckedEndpoint>();
      for (const endpoint of this.#checker.check(endpoints, (error) => errors.push(error))) {
        next.set(endpoint.address.text, endpoint);
      }
      return next;
    } catch (error) {
      this.#becomeStale();
      errors.push(error);
      return undefined;
    }
  }

  /** Whether to empty the set in use. */
  #isBelievedEmpty(errors: unknown[]): boolean {
    const { service, allowEmpty } = this.#options;
    const known = `the ${this.#current?.size ?? 0} known`;
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

  /** The suspects to keep beside `next`. */
  #suspectsBeside(
    next: ReadonlyMap<string, CheckedEndpoint>,
    errors: unknown[],
  ): ReadonlyMap<string, number> {
    if (this.#current === undefined) return nobody;
    const now = this.#options.clock.now();
    const graceMs = this.#suspectGraceMs;
    const { suspects, removed, known } = shrink(
      this.#current.keys(),
      this.#suspects,
      next,
      now,
      now + graceMs,
    );
    if (removed > 0) {
      errors.push(
        new Error(
          `${this.#options.service}: one update of discovery removed ${removed} of ${known} endpoints; ` +
            `they stay as suspect for up to ${graceMs} ms`,
        ),
      );
    }
    return suspects;
  }

  #dropSuspects(isGone: (key: string, graceEndsAt: number) => boolean): void {
    const next = new Map(this.#current);
    const suspects = new Map(this.#suspects);
    for (const [key, graceEndsAt] of this.#suspects) {
      if (!isGone(key, graceEndsAt)) continue;
      next.delete(key);
      suspects.delete(key);
    }
    this.#replace(next, suspects);
  }

  /** Uses a set that is believed to be what there is. */
  #use(next: Map<string, CheckedEndpoint>, suspects: ReadonlyMap<string, number>): void {
    this.#state = { state: "fresh", staleSince: undefined };
    this.#replace(next, suspects);
  }

  #becomeStale(): void {
    if (this.#state.state !== "fresh") return;
    const wallClock = this.#options.wallClock ?? Date.now;
    this.#state = { state: "stale", staleSince: wallClock() };
  }

  /** Applies `next` together with the suspects, unless that is what is in use. */
  #replace(next: Map<string, CheckedEndpoint>, suspects: ReadonlyMap<string, number>): void {
    if (this.#phase !== "started") return;
    const before = this.#current;
    for (const key of suspects.keys()) {
      const endpoint = before?.get(key);
      if (endpoint !== undefined) next.set(key, endpoint);
    }
    const isChange = before === undefined || !hasSame(before, next) || !hasSameKeys(this.#suspects, suspects);
    this.#current = next;
    this.#suspects = suspects;
    this.#awaitGrace();
    if (!isChange && this.#applied) return;
    this.#applied = true;
    try {
      this.#options.apply({ endpoints: [...next.values()], suspects: new Set(suspects.keys()) });
    } catch (error) {
      this.#applied = false;
      this.#report(error);
    }
  }

  #awaitGrace(): void {
    this.#graceTimer?.cancel();
    this.#graceTimer = undefined;
    if (this.#suspects.size === 0) return;
    const { clock } = this.#options;
    let earliest = Number.POSITIVE_INFINITY;
    for (const graceEndsAt of this.#suspects.values()) earliest = Math.min(earliest, graceEndsAt);
    this.#graceTimer = clock.schedule(() => {
      this.#graceTimer = undefined;
      // A source that fails confirms nothing. Its next good snapshot drops what is overdue.
      if (this.#state.state !== "fresh") return;
      const now = clock.now();
      this.#dropSuspects((_key, graceEndsAt) => graceEndsAt <= now);
    }, earliest - clock.now());
  }

  #report(error: unknown): void {
    if (this.#phase === "started") this.#options.report(error);
  }
}

function hasSame<Value>(before: ReadonlyMap<string, Value>, next: ReadonlyMap<string, Value>): boolean {
  if (before.size !== next.size) return false;
  for (const [key, value] of next) if (before.get(key) !== value) return false;
  return true;
}

function hasSameKeys(before: ReadonlyMap<string, unknown>, next: ReadonlyMap<string, unknown>): boolean {
  if (before.size !== next.size) return false;
  for (const key of next.keys()) if (!before.has(key)) return false;
  return true;
}
