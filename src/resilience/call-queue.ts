/**
 * The calls that wait for a place under a concurrency limit: bounded, by priority, and never served too late.
 *
 * In calm the oldest goes first, which is fair. When the queue has not been empty for as long as a call may wait, it is
 * no burst any more but an overload: then the newest goes first, as it still has time, and those who were not reached
 * within a short wait are told so instead of being kept in vain (adaptive LIFO and controlled delay: Maurer, "Fail at
 * Scale", ACM Queue 2015). Whoever cannot finish within his deadline any more is not handed out at all.
 *
 * It decides and does nothing: whoever leaves it is returned to the caller, each exactly once.
 */
import type { CallPriority } from "../core/contracts.ts";
import { blend } from "../core/ewma.ts";

export interface QueuedCall {
  readonly priority: CallPriority;
  /** Its deadline; `Infinity` for none. */
  readonly endsAt: number;
}

export interface CallQueueRules {
  /** How many wait at the most. */
  readonly size: number;
  /** How long one waits at the most. */
  readonly maxWaitMs: number;
}

/** One place in a line; the lines are rings around a place without an entry. */
class Place<Entry> {
  readonly entry: Entry | undefined;
  readonly addedAt: number;
  older: Place<Entry> = this;
  newer: Place<Entry> = this;

  constructor(entry: Entry | undefined, addedAt: number) {
    this.entry = entry;
    this.addedAt = addedAt;
  }
}

/** The most important first. */
const priorities: readonly CallPriority[] = ["critical", "default", "sheddable"];
/** In overload a call waits a twentieth of the longest wait ("Fail at Scale": 5 ms of 100 ms) ... */
const overloadShare = 1 / 20;
/**
 * ... but at least five times the usual time from one hand-out to the next: as calls come at least that often in overload,
 * one hand-out in e^5 or fewer finds nobody waiting.
 */
const gapsInOverload = 5;
const gapGain = 0.1;

export class CallQueue<Entry extends QueuedCall> {
  readonly #limit: number;
  readonly #maxWaitMs: number;
  readonly #places: Map<Entry, Place<Entry>> = new Map();
  readonly #lines: readonly Place<Entry>[] = priorities.map(() => new Place<Entry>(undefined, 0));
  /** Passed over since the last `expire`. */
  #doomed: Entry[] = [];
  #filledAt = 0;
  #takenAt = Number.NEGATIVE_INFINITY;
  #gapMs = 0;
  #nextDueAt = Number.POSITIVE_INFINITY;

  constructor({ size, maxWaitMs }: CallQueueRules) {
    this.#limit = size;
    this.#maxWaitMs = maxWaitMs;
  }

  /** How many wait. */
  get size(): number {
    return this.#places.size;
  }

  /** When `expire` should be called, or a little before; `Infinity` when nobody waits. */
  get nextDueAt(): number {
    return this.#nextDueAt;
  }

  /** Whether the queue has not been empty for as long as a call may wait. */
  isOverloaded(now: number): boolean {
    return this.#places.size > 0 && now - this.#filledAt >= this.#maxWaitMs;
  }

  /**
   * Puts the call in, and returns the one that has to leave for it: undefined when there was room, the call itself when it
   * is refused (no room, or less than `atLeastMs` until its deadline), or another one that is less important or, under
   * overload, no more important but older.
   */
  add(entry: Entry, now: number, atLeastMs: number): Entry | undefined {
    if (entry.endsAt - now < atLeastMs || this.#limit <= 0) return entry;
    const full = this.#places.size >= this.#limit;
    const loser = full ? this.#loserTo(entry, now) : undefined;
    if (full && loser === undefined) return entry;
    if (loser !== undefined) this.remove(loser);
    if (this.#places.size === 0 && !full) this.#filledAt = now;
    const place = new Place<Entry>(entry, now);
    this.#places.set(entry, place);
    append(this.#lineOf(entry), place);
    this.#nextDueAt = Math.min(this.#nextDueAt, this.#dueAt(place, now));
    return loser;
  }

  /** Takes the next call out: the most important first, and of these the oldest, under overload the newest. */
  take(now: number, atLeastMs: number): Entry | undefined {
    const isOverloaded = this.isOverloaded(now);
    for (const line of this.#lines) {
      for (;;) {
        const { entry } = isOverloaded ? line.older : line.newer;
        if (entry === undefined) break;
        this.remove(entry);
        if (entry.endsAt - now >= atLeastMs) {
          this.#noteTaken(now);
          return entry;
        }
        this.#doomed.push(entry);
        this.#nextDueAt = Number.NEGATIVE_INFINITY;
      }
    }
    return undefined;
  }

  /** Takes out a call that does not want to wait any more; false when it was not in. */
  remove(entry: Entry): boolean {
    const place = this.#places.get(entry);
    if (place === undefined) return this.#removeDoomed(entry);
    this.#places.delete(entry);
    unlink(place);
    if (this.#places.size === 0 && this.#doomed.length === 0) this.#nextDueAt = Number.POSITIVE_INFINITY;
    return true;
  }

  /**
   * Takes out whoever waited too long, or has no time left, and those that `take` passed over. Looks at all who wait: call
   * it when `nextDueAt` has come, not for each call.
   */
  expire(now: number): readonly Entry[] {
    const expired = this.#doomed;
    this.#doomed = [];
    this.#nextDueAt = Number.POSITIVE_INFINITY;
    // Read once: that the queue empties on the way does not end the overload for those that are left.
    const longestMs = this.#longestWaitMs(now);
    for (const [entry, place] of this.#places) {
      if (entry.endsAt > now && now - place.addedAt < longestMs) continue;
      this.#places.delete(entry);
      unlink(place);
      expired.push(entry);
    }
    for (const place of this.#places.values()) {
      this.#nextDueAt = Math.min(this.#nextDueAt, this.#dueAt(place, now));
    }
    return expired;
  }

  /** There are few of these, and not for long. */
  #removeDoomed(entry: Entry): boolean {
    const index = this.#doomed.indexOf(entry);
    if (index >= 0) this.#doomed.splice(index, 1);
    return index >= 0;
  }

  #lineOf(entry: Entry): Place<Entry> {
    return this.#lines[priorities.indexOf(entry.priority)] as Place<Entry>;
  }

  /** Who has to leave a full queue for the call: of the least important who is not more important, the last in turn. */
  #loserTo(entry: Entry, now: number): Entry | undefined {
    const isOverloaded = this.isOverloaded(now);
    const own = priorities.indexOf(entry.priority);
    // In calm an equal one that came before is never pushed out; under overload the new one has the turn before it.
    const last = isOverloaded ? own : own + 1;
    for (let index = priorities.length - 1; index >= last; index--) {
      const line = this.#lines[index] as Place<Entry>;
      const loser = isOverloaded ? line.newer.entry : line.older.entry;
      if (loser !== undefined) return loser;
    }
    return undefined;
  }

  #longestWaitMs(now: number): number {
    if (!this.isOverloaded(now)) return this.#maxWaitMs;
    return Math.min(this.#maxWaitMs, Math.max(this.#maxWaitMs * overloadShare, this.#gapMs * gapsInOverload));
  }

  #dueAt(place: Place<Entry>, now: number): number {
    const endsAt = place.entry?.endsAt ?? Number.POSITIVE_INFINITY;
    // The beginning of an overload makes the wait shorter, also for those who are in.
    const waitedAt = this.isOverloaded(now)
      ? place.addedAt + this.#longestWaitMs(now)
      : this.#filledAt + this.#maxWaitMs;
    return Math.min(endsAt, waitedAt);
  }

  #noteTaken(now: number): void {
    // Only gaps in which somebody waited all the time tell how fast places become free.
    if (this.#takenAt >= this.#filledAt) {
      const gapMs = now - this.#takenAt;
      this.#gapMs = this.#gapMs === 0 ? gapMs : blend(this.#gapMs, gapMs, gapGain);
    }
    this.#takenAt = now;
  }
}

/** Puts the place at the newer end of a line. */
function append<Entry>(line: Place<Entry>, place: Place<Entry>): void {
  place.older = line.older;
  place.newer = line;
  line.older.newer = place;
  line.older = place;
}

function unlink<Entry>(place: Place<Entry>): void {
  place.older.newer = place.newer;
  place.newer.older = place.older;
}
