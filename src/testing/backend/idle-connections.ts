/**
 * The connections that nobody uses: closed after a while without a word before, or all at once.
 *
 * Node's own `keepAliveTimeout` tells clients in a Keep-Alive header how long they have, and waits for a second more.
 */
import type { Socket } from "node:net";

export class IdleConnections {
  /** With the timer that ends it, if there is a limit. */
  readonly #idle: Map<Socket, NodeJS.Timeout | undefined> = new Map();
  /** 0 for no limit. */
  limitMs = 0;

  /** A connection without a request: a new one, or one whose answer is out. */
  idle(socket: Socket): void {
    this.busy(socket);
    if (socket.destroyed) return;
    const timer = this.limitMs === 0 ? undefined : setTimeout(() => this.#end(socket), this.limitMs);
    this.#idle.set(socket, timer);
  }

  /** It has a request, or is closed. */
  busy(socket: Socket): void {
    clearTimeout(this.#idle.get(socket));
    this.#idle.delete(socket);
  }

  endAll(): void {
    for (const socket of this.#idle.keys()) this.#end(socket);
  }

  #end(socket: Socket): void {
    this.busy(socket);
    socket.end();
  }
}
