/** The book of the calls of one kind: what became of them in each phase and in each half second. */
import { within } from "./client.ts";
import { Tally } from "./tally.ts";

const nothing: ReadonlyMap<string, number> = new Map();

/** Half a second: what one column of the sparkline shows. */
const slotMs = 500;

/** The calls that ended within one slot. */
export interface Slot {
  worstMs: number;
  failed: number;
}

export interface BookedCalls {
  /** One call. Rejects when it failed. */
  readonly call: () => Promise<void>;
  /** No call takes longer than this; one that does is said to have failed. */
  readonly longestMs: number;
  /** How many requests were sent to each address so far: a live map. */
  readonly attempts?: ReadonlyMap<string, number> | undefined;
}

export class CallBook {
  /** One for each phase so far, the present one last. */
  readonly tallies: Tally[] = [];
  readonly slots: Slot[] = [];
  /** The latest failure's message; empty as long as there is none. */
  lastFailure = "";
  readonly #calls: BookedCalls;
  readonly #startedAt: number = performance.now();
  #tally: Tally;
  #pending = 0;
  #finished = false;
  #onIdle: () => void = () => {};

  constructor(calls: BookedCalls) {
    this.#calls = calls;
    this.#tally = this.#newTally();
  }

  get calls(): number {
    return this.tallies.reduce((total, { calls }) => total + calls, 0);
  }

  get failed(): number {
    return this.tallies.reduce((total, { failed }) => total + failed, 0);
  }

  /** Opens the book of the next phase. */
  turnPage(): void {
    this.#tally.end();
    this.#tally = this.#newTally();
    this.tallies.push(this.#tally);
  }

  /** Starts a call that was due at `dueAt`. */
  send(dueAt: number): void {
    const tally = this.#tally;
    tally.started();
    this.#pending++;
    this.#calls.call().then(
      () => this.#ended(tally, dueAt, undefined),
      (error: unknown) => this.#ended(tally, dueAt, error ?? new Error("unknown")),
    );
  }

  /** Waits for the calls under way. What is not over well after its time counts as failed. */
  async finish(): Promise<void> {
    this.#tally.end();
    await this.#idle();
    // Whatever still ends, cut off by the closing of its client, has been counted.
    this.#finished = true;
  }

  async #idle(): Promise<void> {
    if (this.#pending === 0) return;
    const { promise: idle, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    const { longestMs } = this.#calls;
    if (await within(longestMs, idle)) return;
    const error = new Error(`did not end within ${longestMs} ms`);
    for (let left = this.#pending; left > 0; left--) this.#tally.failedWith(error, longestMs);
  }

  #newTally(): Tally {
    return new Tally(this.#calls.attempts ?? nothing);
  }

  #ended(tally: Tally, dueAt: number, error: unknown): void {
    if (this.#finished) return;
    const now = performance.now();
    const slot = this.#slotAt(now);
    slot.worstMs = Math.max(slot.worstMs, now - dueAt);
    if (error === undefined) {
      tally.succeeded(now - dueAt);
    } else {
      tally.failedWith(error, now - dueAt);
      slot.failed++;
      this.lastFailure = error instanceof Error ? error.message : String(error);
    }
    if (--this.#pending === 0) this.#onIdle();
  }

  #slotAt(now: number): Slot {
    const index = Math.floor((now - this.#startedAt) / slotMs);
    while (this.slots.length <= index) this.slots.push({ worstMs: 0, failed: 0 });
    return this.slots[index] as Slot;
  }
}
