/** Virtual time for simulations: as `ManualClock`, but made for millions of timers. */
import type { Clock, Timer } from "../../core/clock.ts";
import { Heap } from "./heap.ts";

class EventTimer implements Timer {
  key: number;
  heapIndex = -1;
  readonly callback: () => void;
  readonly #heap: Heap<EventTimer>;

  constructor(at: number, callback: () => void, heap: Heap<EventTimer>) {
    this.key = at;
    this.callback = callback;
    this.#heap = heap;
    heap.add(this);
  }

  cancel(): void {
    this.#heap.remove(this);
  }

  keepAlive(): void {}
}

export class EventClock implements Clock {
  #now = 0;
  readonly #heap: Heap<EventTimer> = new Heap();

  now(): number {
    return this.#now;
  }

  schedule(callback: () => void, delayMs: number): Timer {
    return new EventTimer(this.#now + Math.max(0, delayMs), callback, this.#heap);
  }

  /** Calls back at a time on this clock, or now if it is past. */
  scheduleAt(callback: () => void, at: number): Timer {
    return new EventTimer(Math.max(this.#now, at), callback, this.#heap);
  }

  /** Fires what is due up to `endMs`, each timer at its own time, and stops there. */
  runUntil(endMs: number): void {
    for (let next = this.#heap.head; next !== undefined && next.key <= endMs; next = this.#heap.head) {
      this.#heap.remove(next);
      this.#now = next.key;
      next.callback();
    }
    this.#now = Math.max(this.#now, endMs);
  }
}
