/**
 * Exact deadlines for many calls with one timer.
 *
 * A timer for each call would be set and cleared thousands of times a second and hardly ever fire. Entries wait in
 * lanes instead, each in the order of their deadlines, and one timer waits for the earliest; a removed head leaves the
 * timer to find out when it fires. Nearly all calls have the same few timeouts: a new entry is the latest of its lane,
 * and to add or remove it is to link or unlink it. (In a heap the oldest, which is mostly the one that ends, is at the
 * top, and what takes its place goes all the way down.) undici's own timers are about a second coarse (undici.md), which
 * is why there are none of it.
 */
import type { Clock, Timer } from "./clock.ts";

/** Timeouts that differ have a lane each, up to so many; beyond it entries look for their place. */
const mostLanes = 8;

/** Something that wants to be woken. Owned by one `Deadlines` at a time. */
export interface Deadline {
  /** When, on the clock of the `Deadlines`. To change it: `remove`, change, `add`. */
  dueAt: number;
  /** Where it waits, and between which others, kept by `Deadlines`; undefined when it does not wait. */
  lane: Lane | undefined;
  earlier: Deadline | undefined;
  later: Deadline | undefined;
  /**
   * Called after it was removed; may add itself again. An entry that another one settled in the same round is
   * still called, and must then do nothing.
   */
  expire(now: number): void;
}

/** Entries in the order of their deadlines, linked to one another. */
export class Lane {
  first: Deadline | undefined = undefined;
  last: Deadline | undefined = undefined;

  /** Behind all that are not due later. At the end in nearly all cases. */
  add(entry: Deadline): void {
    let earlier = this.last;
    if (this.first !== undefined && this.first.dueAt > entry.dueAt) earlier = undefined;
    while (earlier !== undefined && earlier.dueAt > entry.dueAt) earlier = earlier.earlier;
    const later = earlier === undefined ? this.first : earlier.later;
    entry.lane = this;
    entry.earlier = earlier;
    entry.later = later;
    if (earlier === undefined) this.first = entry;
    else earlier.later = entry;
    if (later === undefined) this.last = entry;
    else later.earlier = entry;
  }

  remove(entry: Deadline): void {
    const { earlier, later } = entry;
    if (earlier === undefined) this.first = later;
    else earlier.later = later;
    if (later === undefined) this.last = earlier;
    else later.earlier = earlier;
    entry.lane = undefined;
    entry.earlier = undefined;
    entry.later = undefined;
  }
}

export class Deadlines<Entry extends Deadline = Deadline> {
  readonly #clock: Clock;
  readonly #lanes: Lane[] = [new Lane()];
  #size = 0;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#size;
  }

  /** What waits now, in no particular order; safe to add and remove while reading it. */
  entries(): readonly Entry[] {
    const entries: Entry[] = [];
    for (const { first } of this.#lanes) {
      for (let entry = first; entry !== undefined; entry = entry.later) entries.push(entry as Entry);
    }
    return entries;
  }

  add(entry: Entry): void {
    this.#laneFor(entry.dueAt).add(entry);
    this.#size++;
    if (entry.dueAt < this.#timerAt) this.#arm(entry.dueAt);
    else if (this.#size === 1) this.#timer?.keepAlive(true);
  }

  remove(entry: Entry): void {
    if (entry.lane === undefined) return;
    entry.lane.remove(entry);
    this.#size--;
    if (this.#size === 0) this.#timer?.keepAlive(false);
  }

  /** Cancels the timer. Entries that are left never expire. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  /** The first one at whose end it is in order. */
  #laneFor(dueAt: number): Lane {
    const lanes = this.#lanes;
    for (let index = 0; index < lanes.length; index++) {
      const lane = lanes[index] as Lane;
      if (lane.last === undefined || lane.last.dueAt <= dueAt) return lane;
    }
    if (lanes.length < mostLanes) lanes.push(new Lane());
    return lanes[lanes.length - 1] as Lane;
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.schedule(() => this.#fire(), at - this.#clock.now());
    this.#timer.keepAlive(true);
  }

  #fire(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    const failures: unknown[] = [];
    for (const entry of this.#takeDue(now)) {
      // An entry that expired earlier in this round may have added this one again.
      if (entry.lane !== undefined) continue;
      try {
        entry.expire(now);
      } catch (error) {
        failures.push(error);
      }
    }
    let next = Number.POSITIVE_INFINITY;
    for (const { first } of this.#lanes) if (first !== undefined) next = Math.min(next, first.dueAt);
    if (next < this.#timerAt) this.#arm(next);
    // What an entry throws is its own: the others have expired, and the timer waits for the next.
    if (failures.length > 0) throw failures[0];
  }

  /** Removes all that are due, the earliest first. Those that add themselves again, due already, wait for the next firing. */
  #takeDue(now: number): readonly Deadline[] {
    const due: Deadline[] = [];
    for (const lane of this.#lanes) {
      for (let head = lane.first; head !== undefined && head.dueAt <= now; head = lane.first) {
        this.remove(head as Entry);
        due.push(head);
      }
    }
    return due.sort((left, right) => left.dueAt - right.dueAt);
  }
}
