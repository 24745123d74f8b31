/**
 * A service instance in virtual time: processor sharing with a hard cap. It has so many cores; a job runs on one of
 * them at most, and when there are more jobs than cores all share them alike, as the threads of a container do that
 * may use so much processor time and no more.
 *
 * With one core this is the queue M/G/1-PS, for which theory has exact answers (see the test beside it).
 */
import type { Timer } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";
import type { EventClock } from "./event-clock.ts";
import { Heap, type HeapEntry } from "./heap.ts";

/** What an instance is. */
export interface ServerModel {
  readonly address: string;
  /** Its weight in discovery. Default 1. */
  readonly weight?: number | undefined;
  /** How many jobs run at full speed at once; need not be whole. `Infinity` for no cap. */
  readonly cores: number;
  /** Work done by a core in a millisecond. Default 1; 0 is a pause. */
  readonly speed?: number | undefined;
  /** The work of one call, in milliseconds of a core at speed 1; for instances that differ. */
  readonly demand?: Demand | undefined;
}

export type Demand = (random: Random) => number;

/** A share of the calls is answered with an error, after a fixed time and without work. */
export interface FailureModel {
  readonly share: number;
  readonly afterMs: number;
}

/** One piece of work at a server. */
export class Job implements HeapEntry {
  /** The server's progress at which it is done. */
  key = 0;
  heapIndex = -1;
  readonly finished: () => void;

  constructor(finished: () => void) {
    this.finished = finished;
  }
}

export class Server {
  readonly index: number;
  readonly model: ServerModel;
  failure: FailureModel | undefined = undefined;
  /** The most jobs that it had at once since `resetMost`. */
  most = 0;

  readonly #clock: EventClock;
  readonly #jobs: Heap<Job> = new Heap();
  #speed: number;
  /** The work that a job which was there all the time would have got. */
  #progress = 0;
  #progressAt = 0;
  #timer: Timer | undefined = undefined;
  readonly #onDone: () => void = () => this.#finishHead();

  constructor(index: number, model: ServerModel, clock: EventClock) {
    this.index = index;
    this.model = model;
    this.#clock = clock;
    this.#speed = model.speed ?? 1;
  }

  get jobs(): number {
    return this.#jobs.size;
  }

  admit(job: Job, work: number): void {
    this.#advance();
    job.key = this.#progress + work;
    this.#jobs.add(job);
    if (this.#jobs.size > this.most) this.most = this.#jobs.size;
    this.#arm();
  }

  /** Its caller has gone: it is dropped, and what was done for it is lost. */
  remove(job: Job): void {
    this.#advance();
    this.#jobs.remove(job);
    this.#arm();
  }

  setSpeed(speed: number): void {
    this.#advance();
    this.#speed = speed;
    this.#arm();
  }

  resetMost(): void {
    this.most = this.#jobs.size;
  }

  #rate(): number {
    const jobs = this.#jobs.size;
    return jobs <= this.model.cores ? this.#speed : (this.#speed * this.model.cores) / jobs;
  }

  #advance(): void {
    const now = this.#clock.now();
    if (this.#jobs.size > 0) this.#progress += this.#rate() * (now - this.#progressAt);
    this.#progressAt = now;
  }

  #arm(): void {
    this.#timer?.cancel();
    const head = this.#jobs.head;
    const rate = this.#rate();
    this.#timer =
      head === undefined || rate === 0
        ? undefined
        : this.#clock.schedule(this.#onDone, (head.key - this.#progress) / rate);
  }

  #finishHead(): void {
    this.#advance();
    const head = this.#jobs.head;
    if (head === undefined) return;
    // Not what the sum of many steps came to: it is done, whatever they were rounded to.
    this.#progress = Math.max(this.#progress, head.key);
    this.#jobs.remove(head);
    this.#arm();
    head.finished();
  }
}
