/**
 * When a connection is made again that has ended: at once, unless it was the second of no use within a second.
 *
 * For grpc-js one that stood has succeeded, however briefly, and its backoff begins anew. A peer that closes what it has just
 * accepted (a proxy with nobody behind it, a server that is stopping) would be connected to as fast as round trips allow.
 */

/** As for the connections that `evenkeel/connect` keeps ready. */
const lastingMs = 1_000;

export class ReconnectPause {
  #stoodAt = Number.NEGATIVE_INFINITY;
  #stoodBefore = Number.NEGATIVE_INFINITY;

  /** A connection stands. */
  stood(now: number): void {
    this.#stoodBefore = this.#stoodAt;
    this.#stoodAt = now;
  }

  /**
   * How long to wait now that it has ended; 0 for not at all.
   *
   * @param wasUsed a call went over it. However soon it ended: servers may end each connection after some calls.
   */
  afterEnd(wasUsed: boolean, now: number): number {
    if (wasUsed || now - this.#stoodAt >= lastingMs) return 0;
    return Math.max(0, this.#stoodBefore + lastingMs - now);
  }
}
