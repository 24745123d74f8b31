/**
 * How many connections one balancer may have and may be making at once, over all its nodes.
 *
 * A pool that is refused is told when there may be room again, the longest waiting first. Handshakes are bounded
 * since a hundred at once take this process's time from the calls under way; but the first connection of a node is
 * never held back by them, so that nodes that hang cannot keep others from being called.
 */

/** A pool that wanted a connection and did not get one. */
export interface LimitWaiter {
  /** There may be room now. */
  roomAppeared(): void;
}

export class ConnectionLimits {
  readonly #total: number;
  readonly #connectingAtOnce: number;
  /** And whether each of them has no connection at all. */
  readonly #waiters: Map<LimitWaiter, boolean> = new Map();
  #open = 0;
  #connecting = 0;

  /**
   * @param total connections that may exist, those being made included.
   * @param connectingAtOnce connections that may be in the making.
   */
  constructor(total: number, connectingAtOnce: number) {
    this.#total = total;
    this.#connectingAtOnce = connectingAtOnce;
  }

  /** Connections that exist or are being made. */
  get open(): number {
    return this.#open;
  }

  get connecting(): number {
    return this.#connecting;
  }

  /** Whether a pool waits for another one's connection to close. */
  get isFull(): boolean {
    return this.#open >= this.#total;
  }

  get hasWaiters(): boolean {
    return this.#waiters.size > 0;
  }

  /** Whether a node that has no connection at all waits for one. */
  get hasHungry(): boolean {
    for (const isHungry of this.#waiters.values()) if (isHungry) return true;
    return false;
  }

  /**
   * Counts a connection that is about to be made. When there is no room, `waiter` is told later.
   *
   * @param isFirst the node has no connection yet.
   */
  start(waiter: LimitWaiter, isFirst: boolean): boolean {
    const mayConnect = isFirst || this.#connecting < this.#connectingAtOnce;
    if (this.#open < this.#total && mayConnect) {
      this.#waiters.delete(waiter);
      this.#open++;
      this.#connecting++;
      return true;
    }
    this.#waiters.set(waiter, isFirst);
    return false;
  }

  /** The connection stands. */
  connected(): void {
    this.#connecting--;
    this.#wake();
  }

  /** The connection did not come about. */
  failed(): void {
    this.#connecting--;
    this.#open--;
    this.#wake();
  }

  /** A connection that stood is closed. */
  closed(): void {
    this.#open--;
    this.#wake();
  }

  /** The waiter needs no connection any more. */
  forget(waiter: LimitWaiter): void {
    this.#waiters.delete(waiter);
  }

  #wake(): void {
    if (this.#waiters.size === 0) return;
    // Those that have nothing come first. Whoever still finds no room waits again, behind those that were not asked.
    const inTurn = [...this.#waiters].sort(([, left], [, right]) => Number(right) - Number(left));
    for (const [waiter] of inTurn) {
      if (this.#open >= this.#total) return;
      this.#waiters.delete(waiter);
      waiter.roomAppeared();
    }
  }
}
