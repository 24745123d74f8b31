/**
 * When a remembered set is used, and when a set is remembered: the first only while nothing else is known, the second
 * whenever one is believed.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { CheckedEndpoint } from "../core/endpoint.ts";
import { Debounce } from "./debounce.ts";
import { type Snapshot, type SnapshotStore, toKept } from "./snapshot-file.ts";

export interface LastGoodOptions {
  readonly service: string;
  readonly store: SnapshotStore;
  /** How long discovery is given before what is remembered is used. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly wallClock: () => number;
  /** Uses a remembered set; called at most once, and never after `known` or `close`. */
  recall(snapshot: Snapshot): void;
  report(error: unknown): void;
}

/** At most so often is it written: a deploy changes a set many times, and one write is enough. */
const quietMs = 1_000;
const longestMs = 10_000;
/** When a write that failed is tried again: a disk that is full or read-only is so for minutes. */
const retryMs = 60_000;

export class LastGood {
  readonly #options: LastGoodOptions;
  readonly #debounce: Debounce<readonly CheckedEndpoint[]>;
  #timer: Timer | undefined;
  /** What is on the disk, once it has been read. */
  #remembered: Snapshot | undefined;
  /** `waiting`: for discovery. `wanted`: it has had its time. `settled`: a set is known, or nobody wants one. */
  #phase: "waiting" | "wanted" | "settled" = "waiting";
  #isClosed = false;
  /** What is to be written next, and whether a write is under way. */
  #next: readonly CheckedEndpoint[] | undefined;
  #isWriting = false;
  #retry: Timer | undefined;
  /** What the last write failed with, so that it is not told again with each attempt. */
  #complaint: string | undefined;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    this.#debounce = new Debounce(options.clock, quietMs, longestMs, (endpoints) => {
      this.#next = endpoints;
      void this.#write();
    });
  }

  start(): void {
    const { clock, waitMs } = this.#options;
    this.#timer = clock.schedule(() => this.sourceFailed(), waitMs);
    void this.#read();
  }

  /** Discovery has failed, or has had its time: there is nothing to wait for any more. */
  sourceFailed(): void {
    if (this.#phase === "waiting") this.#phase = "wanted";
    this.#recallIfWanted();
  }

  /** A set is in use that discovery named: it is written down, and what is remembered is of no use any more. */
  known(endpoints: readonly CheckedEndpoint[]): void {
    this.#settle();
    this.#debounce.push(endpoints);
  }

  close(): void {
    this.#isClosed = true;
    this.#settle();
    this.#debounce.close();
    this.#retry?.cancel();
  }

  async #read(): Promise<void> {
    const { store, report } = this.#options;
    try {
      this.#remembered = await store.read();
    } catch (error) {
      if (!this.#isClosed) report(error);
    }
    this.#recallIfWanted();
  }

  #recallIfWanted(): void {
    if (this.#phase !== "wanted" || this.#remembered === undefined) return;
    this.#settle();
    this.#options.recall(this.#remembered);
  }

  #settle(): void {
    this.#phase = "settled";
    this.#timer?.cancel();
  }

  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    const { service, store, wallClock } = this.#options;
    for (let next = this.#next; next !== undefined && !this.#isClosed; next = this.#next) {
      this.#next = undefined;
      // Of an older set.
      this.#retry?.cancel();
      try {
        await store.write({ service, savedAt: wallClock(), endpoints: next.map(toKept) });
        this.#complaint = undefined;
      } catch (error) {
        this.#failed(error, next);
      }
    }
    this.#isWriting = false;
  }

  /** A set that does not change would else never be on the disk. */
  #failed(error: unknown, endpoints: readonly CheckedEndpoint[]): void {
    if (this.#isClosed) return;
    const { clock, report } = this.#options;
    this.#retry = clock.schedule(() => {
      this.#next ??= endpoints;
      void this.#write();
    }, retryMs);
    const complaint = String(error);
    if (complaint === this.#complaint) return;
    this.#complaint = complaint;
    report(error);
  }
}
