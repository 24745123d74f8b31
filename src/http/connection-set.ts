/**
 * The connections to one node by what they are good for: those that take requests, of these the ones with room, and
 * those that finish what they have.
 */
import type { Connection } from "./connection.ts";

export class ConnectionSet {
  /** They take requests. */
  readonly #usable: Set<Connection> = new Set();
  /** Of these, the ones with room; the last is used next. */
  readonly #free: Connection[] = [];
  /** They finish what they have. */
  readonly #ending: Set<Connection> = new Set();
  /** When the last of the usable ones went. */
  #stoodUntil = Number.NEGATIVE_INFINITY;

  /** How many take requests. */
  get size(): number {
    return this.#usable.size;
  }

  /** How many are open. */
  get open(): number {
    return this.#usable.size + this.#ending.size;
  }

  get hasFree(): boolean {
    return this.#free.length > 0;
  }

  /** The one that was free last: what is not needed goes idle. */
  get latestFree(): Connection | undefined {
    return this.#free.at(-1);
  }

  /** Those that take requests, as they are now: they may go while this is read. */
  get usable(): readonly Connection[] {
    return [...this.#usable];
  }

  get all(): readonly Connection[] {
    return [...this.#usable, ...this.#ending];
  }

  /** Over how many of them nothing is sent. */
  get idle(): number {
    let idle = 0;
    for (const { active } of this.#usable) if (active === 0) idle++;
    return idle;
  }

  /**
   * How many more requests they will take in a moment.
   *
   * @param streams the most at once over one connection.
   */
  soonTaken(isMultiplexed: boolean, streams: number): number {
    let taken = 0;
    for (const { active, isFree, isSettled } of this.#usable) {
      // One that takes no second request before the peer's SETTINGS are here will take many as soon as they are.
      if (isMultiplexed) taken += isSettled ? 0 : streams;
      // undici takes a turn of the event loop to say that a connection is free again.
      else if (active === 0 && !isFree) taken++;
    }
    return taken;
  }

  /** One that nothing is sent over. */
  findIdle(): Connection | undefined {
    return this.#free.find(({ active }) => active === 0);
  }

  /** Whether one took requests at that time or later. */
  stoodAt(since: number): boolean {
    return this.#usable.size > 0 || this.#stoodUntil >= since;
  }

  add(connection: Connection): void {
    this.#usable.add(connection);
  }

  free(connection: Connection): void {
    this.#free.push(connection);
    connection.isFree = true;
  }

  unfree(connection: Connection): void {
    if (!connection.isFree) return;
    connection.isFree = false;
    if (this.#free.at(-1) === connection) this.#free.pop();
    else this.#free.splice(this.#free.indexOf(connection), 1);
  }

  /** It takes no more requests. */
  end(connection: Connection, now: number): void {
    this.unfree(connection);
    this.#usable.delete(connection);
    this.#ending.add(connection);
    if (this.#usable.size === 0) this.#stoodUntil = now;
  }

  /** It is closed. */
  closed(connection: Connection): void {
    this.#ending.delete(connection);
  }
}
