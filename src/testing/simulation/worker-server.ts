/**
 * A server in virtual time that works on so many calls at once, each at full speed, and lets the others wait in line: a
 * thread pool, or a database behind its connections. (`server.ts` is the other kind, whose cores all calls share.)
 */
import type { Random } from "../../core/random.ts";
import type { EventClock } from "./event-clock.ts";
import type { Demand } from "./server.ts";

export class WorkerServer {
  /** Changes apply to calls that are begun after them. */
  workers: number;
  demand: Demand;
  /** How long the calls that were begun waited, and how many they were. */
  waitedMs = 0;
  begun = 0;

  readonly #clock: EventClock;
  readonly #random: Random;
  /** Calls that wait, with gaps where they were before `#first`. */
  readonly #waiting: { readonly at: number; readonly done: () => void }[] = [];
  #first = 0;
  #busy = 0;

  constructor(workers: number, demand: Demand, clock: EventClock, random: Random) {
    this.workers = workers;
    this.demand = demand;
    this.#clock = clock;
    this.#random = random;
  }

  call(done: () => void): void {
    this.#waiting.push({ at: this.#clock.now(), done });
    this.#work();
  }

  #work(): void {
    const now = this.#clock.now();
    while (this.#busy < this.workers && this.#first < this.#waiting.length) {
      const { at, done } = this.#waiting[this.#first++] as { at: number; done: () => void };
      this.waitedMs += now - at;
      this.begun++;
      this.#busy++;
      this.#clock.schedule(() => {
        this.#busy--;
        this.#work();
        done();
      }, this.demand(this.#random));
    }
    if (this.#first > 1_000) this.#waiting.splice(0, this.#first).length = this.#first = 0;
  }
}
