/**
 * Exact deadlines for many calls with one timer.
 *
 * A timer for each call would be set and cleared thousands of times a second and hardly ever fire. Entries sit
 * in a binary heap instead, and one timer waits for the earliest. Nearly all calls have the same timeout, so a
 * new entry is nearly always the latest and stays where it is put; a removed head leaves the timer to find out
 * when it fires. undici's own timers are about a second coarse (undici.md), which is why there are none of it.
 */
import type { Clock, Timer } from "./clock.ts";

/** Something that wants to be woken. Owned by one `Deadlines` at a time. */
export interface Deadline {
  /** When, on the clock of the `Deadlines`. To change it: `remove`, change, `add`. */
  dueAt: number;
  /** Its place in the heap, kept by `Deadlines`; -1 when not in it. */
  heapIndex: number;
  /**
   * Called after it was removed; may add itself again. An entry that another one settled in the same round is
   * still called, and must then do nothing.
   */
  expire(now: number): void;
}

export class Deadlines<Entry extends Deadline = Deadline> {
  readonly #clock: Clock;
  readonly #heap: Entry[] = [];
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** What waits now, in no particular order; safe to add and remove while reading it. */
  entries(): readonly Entry[] {
    return [...this.#heap];
  }

  add(entry: Entry): void {
    const heap = this.#heap;
    heap.push(entry);
    this.#rise(entry, heap.length - 1);
    if (entry.dueAt < this.#timerAt) this.#arm(entry.dueAt);
    else if (heap.length === 1) this.#timer?.keepAlive(true);
  }

  remove(entry: Entry): void {
    const index = entry.heapIndex;
    if (index < 0) return;
    entry.heapIndex = -1;
    const last = this.#heap.pop() as Entry;
    if (last !== entry) {
      this.#rise(last, index);
      if (last.heapIndex === index) this.#sink(last, index);
    }
    if (this.#heap.length === 0) this.#timer?.keepAlive(false);
  }

  /** Cancels the timer. Entries that are left never expire. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
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
    // Entries that add themselves again with a past deadline must wait for the next firing: count the due ones.
    const due: Entry[] = [];
    for (let head = this.#heap[0]; head !== undefined && head.dueAt <= now; head = this.#heap[0]) {
      this.remove(head);
      due.push(head);
    }
    const failures: unknown[] = [];
    for (const entry of due) {
      // An entry that expired earlier in this round may have added this one again.
      if (entry.heapIndex >= 0) continue;
      try {
        entry.expire(now);
      } catch (error) {
        failures.push(error);
      }
    }
    const next = this.#heap[0];
    if (next !== undefined && next.dueAt < this.#timerAt) this.#arm(next.dueAt);
    // What an entry throws is its own: the others have expired, and the timer waits for the next.
    if (failures.length > 0) throw failures[0];
  }

  #rise(entry: Entry, from: number): void {
    const heap = this.#heap;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex] as Entry;
      if (parent.dueAt <= entry.dueAt) break;
      heap[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    heap[index] = entry;
    entry.heapIndex = index;
  }

  #sink(entry: Entry, from: number): void {
    const heap = this.#heap;
    const half = heap.length >> 1;
    let index = from;
    while (index < half) {
      let childIndex = 2 * index + 1;
      let child = heap[childIndex] as Entry;
      const right = heap[childIndex + 1];
      if (right !== undefined && right.dueAt < child.dueAt) {
        child = right;
        childIndex++;
      }
      if (child.dueAt >= entry.dueAt) break;
      heap[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    heap[index] = entry;
    entry.heapIndex = index;
  }
}
