/**
 * Finds HTTP/2 connections whose peer is gone without a word: a host that lost its power, a firewall that forgot.
 *
 * undici sends a PING every `pingMs` and lets nobody know when it is not answered (undici.md, "Dead peer"). So what is
 * watched is whether anything at all arrives: a live peer is heard at least once in `pingMs` plus a round trip.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { Connection } from "./connection.ts";

/** A tick as late as this means that this process stood still, and could not have read what the peer sent meanwhile. */
const blockedFromMs = 50;

/** The peer did not answer a PING in time. */
export class PingTimeoutError extends Error {
  override readonly name: string = "PingTimeoutError";
  readonly code: string = "ERR_PING_TIMEOUT";
}

export interface HeartbeatListener {
  /** A connection that was under suspicion was heard. */
  heard(connection: Connection): void;
  /** The peer did not answer; the connection is being closed with `error`. */
  died(connection: Connection, error: PingTimeoutError): void;
}

export class Heartbeat {
  readonly #clock: Clock;
  readonly #pingMs: number;
  readonly #silentMs: number;
  readonly #tickMs: number;
  readonly #listener: HeartbeatListener;
  readonly #connections: Set<Connection> = new Set();
  #timer: Timer | undefined = undefined;
  #dueAt = 0;

  constructor(pingMs: number, pingTimeoutMs: number, clock: Clock, listener: HeartbeatListener) {
    this.#clock = clock;
    this.#pingMs = pingMs;
    this.#silentMs = pingMs + pingTimeoutMs;
    // Four looks in the shorter of the two: a dead peer is found at most a quarter of it late.
    this.#tickMs = Math.max(5, Math.min(pingMs, pingTimeoutMs) / 4);
    this.#listener = listener;
  }

  /** Watches a connection for as long as it is usable. */
  add(connection: Connection): void {
    if (this.#pingMs === 0) return;
    this.#connections.add(connection);
    if (this.#timer === undefined) this.#schedule();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#connections.clear();
  }

  #schedule(): void {
    this.#dueAt = this.#clock.now() + this.#tickMs;
    this.#timer = this.#clock.schedule(() => this.#tick(), this.#tickMs);
  }

  #tick(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    const lateMs = now - this.#dueAt;
    const blockedMs = lateMs > blockedFromMs ? lateMs : 0;
    for (const connection of this.#connections) this.#look(connection, blockedMs, now);
    if (this.#connections.size > 0) this.#schedule();
  }

  #look(connection: Connection, blockedMs: number, now: number): void {
    if (connection.state === "gone") {
      this.#connections.delete(connection);
      return;
    }
    if (connection.listen(now)) {
      if (connection.suspectSince !== undefined) this.#listener.heard(connection);
      return;
    }
    // Before its first request undici may not speak to the peer, which then has nothing to say.
    if (!connection.isAttached) connection.heardAt = now;
    connection.heardAt += blockedMs;
    if (now - connection.heardAt <= this.#silentMs) return;
    this.#connections.delete(connection);
    const error = new PingTimeoutError(
      `HTTP/2: no answer to a PING within ${this.#silentMs - this.#pingMs} ms`,
    );
    this.#listener.died(connection, error);
    connection.destroy(error);
  }
}
