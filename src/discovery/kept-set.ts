/**
 * The set in use, and the suspects in it: endpoints that the source does not name any more, kept until a
 * connection or a check to them fails or their grace ends.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { CheckedEndpoint } from "../core/endpoint.ts";
import { shrink } from "./shrink.ts";

/** A set to be used. */
export interface GuardedSet {
  readonly endpoints: readonly CheckedEndpoint[];
  /** Keys of the endpoints, all of them in `endpoints`, that are gone from the source and kept for now. */
  readonly suspects: ReadonlySet<string>;
}

export interface KeptSetOptions {
  readonly clock: Clock;
  /** How long suspects are kept. */
  readonly graceMs: number;
  /** Takes each set that differs from the one before. Returns whether it did, or must be given it again. */
  apply(set: GuardedSet): boolean;
  /** Whether the source can be believed to miss the suspects, now that their grace ends. */
  isFresh(): boolean;
}

type Endpoints = ReadonlyMap<string, CheckedEndpoint>;

const nobody: ReadonlyMap<string, number> = new Map();

export class KeptSet {
  readonly #options: KeptSetOptions;
  /** By key, suspects included; undefined before the first set. */
  #endpoints: Endpoints | undefined;
  /** When the grace of each suspect ends. */
  #suspects: ReadonlyMap<string, number> = nobody;
  #graceTimer: Timer | undefined;
  /** False when `apply` did not take the set: the next one is then applied even if it changes nothing. */
  #isApplied = true;
  #isClosed = false;

  constructor(options: KeptSetOptions) {
    this.#options = options;
  }

  /** How many endpoints are in use, suspects included. */
  get size(): number {
    return this.#endpoints?.size ?? 0;
  }

  /** Uses exactly these. */
  replace(next: Endpoints): void {
    this.#use(next, nobody);
  }

  /**
   * Uses these, and keeps what they remove in bulk as suspect.
   *
   * @param warn is told, after the set was applied, how many of how many were removed in bulk.
   */
  update(next: Endpoints, warn: (removed: number, known: number) => void): void {
    const before = this.#endpoints;
    if (before === undefined) {
      this.#use(next, nobody);
      return;
    }
    const { clock, graceMs } = this.#options;
    const now = clock.now();
    const { suspects, removed, known } = shrink(before.keys(), this.#suspects, next, now, now + graceMs);
    const all = new Map(next);
    for (const key of suspects.keys()) all.set(key, before.get(key) as CheckedEndpoint);
    this.#use(all, suspects);
    if (removed > 0) warn(removed, known);
  }

  /** Drops an endpoint if it is suspect. */
  confirmGone(key: string): void {
    if (this.#suspects.has(key)) this.#dropSuspects((suspect) => suspect === key);
  }

  close(): void {
    this.#isClosed = true;
    this.#graceTimer?.cancel();
  }

  #dropSuspects(isGone: (key: string, graceEndsAt: number) => boolean): void {
    const endpoints = new Map(this.#endpoints);
    const suspects = new Map(this.#suspects);
    for (const [key, graceEndsAt] of this.#suspects) {
      if (!isGone(key, graceEndsAt)) continue;
      endpoints.delete(key);
      suspects.delete(key);
    }
    this.#use(endpoints, suspects);
  }

  #use(endpoints: Endpoints, suspects: ReadonlyMap<string, number>): void {
    if (this.#isClosed) return;
    const before = this.#endpoints;
    const isChange =
      before === undefined || !hasSame(before, endpoints) || !hasSameKeys(this.#suspects, suspects);
    this.#endpoints = endpoints;
    this.#suspects = suspects;
    this.#awaitGrace();
    if (!isChange && this.#isApplied) return;
    // Before the call, which may lead back here with a newer set.
    this.#isApplied = true;
    const isTaken = this.#options.apply({
      endpoints: [...endpoints.values()],
      suspects: new Set(suspects.keys()),
    });
    if (!isTaken) this.#isApplied = false;
  }

  #awaitGrace(): void {
    this.#graceTimer?.cancel();
    this.#graceTimer = undefined;
    if (this.#suspects.size === 0) return;
    const { clock, isFresh } = this.#options;
    let earliest = Number.POSITIVE_INFINITY;
    for (const graceEndsAt of this.#suspects.values()) earliest = Math.min(earliest, graceEndsAt);
    this.#graceTimer = clock.schedule(() => {
      this.#graceTimer = undefined;
      // A source that fails confirms nothing. Its next good snapshot drops what is overdue.
      if (!isFresh()) return;
      const now = clock.now();
      this.#dropSuspects((_key, graceEndsAt) => graceEndsAt <= now);
    }, earliest - clock.now());
  }
}

function hasSame(before: Endpoints, next: Endpoints): boolean {
  if (before.size !== next.size) return false;
  for (const [key, endpoint] of next) if (before.get(key) !== endpoint) return false;
  return true;
}

function hasSameKeys(before: ReadonlyMap<string, unknown>, next: ReadonlyMap<string, unknown>): boolean {
  if (before.size !== next.size) return false;
  for (const key of next.keys()) if (!before.has(key)) return false;
  return true;
}
