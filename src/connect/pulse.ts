/**
 * Finds out whether the peer of a connection is still there: a host that lost its power says nothing.
 *
 * While streams are open a PING goes out whenever nothing was heard for `pingMs`; without any, a server would take it
 * for an attack. So a connection that has rested is asked when it is used again, before anything is sent.
 */
import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock, Timer } from "../core/clock.ts";

/** A timer as late as this means that this process stood still, and could not have read what the peer sent meanwhile. */
const blockedFromMs = 50;

/** The peer did not answer a PING in time. */
export class PingTimeoutError extends Error {
  override readonly name: string = "PingTimeoutError";
  readonly code: string = "ERR_PING_TIMEOUT";
}

export interface PulseOptions {
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
  readonly clock: Clock;
}

export class Pulse {
  readonly #options: PulseOptions;
  readonly #session: Pick<ClientHttp2Session, "ping" | "closed">;
  readonly #socket: Pick<Socket, "bytesRead">;
  readonly #onDead: (error: PingTimeoutError) => void;
  #bytesSeen = 0;
  #heardAt: number;
  #isWatching = false;
  /** For the next look at the peer, or for the answer to a PING. */
  #timer: Timer | undefined = undefined;
  #onAlive: (() => void) | undefined = undefined;

  constructor(
    options: PulseOptions,
    session: Pick<ClientHttp2Session, "ping" | "closed">,
    socket: Pick<Socket, "bytesRead">,
    onDead: (error: PingTimeoutError) => void,
  ) {
    this.#options = options;
    this.#session = session;
    this.#socket = socket;
    this.#onDead = onDead;
    this.#heardAt = options.clock.now();
  }

  get isDoubtful(): boolean {
    const { pingMs, clock } = this.#options;
    // What may have come since the last stream ended is not looked at: nobody knows when it came.
    return pingMs > 0 && clock.now() - this.#heardAt > pingMs;
  }

  /** Watches from now on: streams are open. */
  start(): void {
    const { pingMs } = this.#options;
    this.#isWatching = true;
    if (pingMs > 0 && this.#timer === undefined) this.#lookIn(pingMs);
  }

  stop(): void {
    this.#isWatching = false;
    this.#listen();
  }

  /** Asks now; `onAlive` is called if the answer comes in time. */
  verify(onAlive: () => void): void {
    this.#onAlive = onAlive;
    this.#timer?.cancel();
    this.#ask();
  }

  close(): void {
    this.#isWatching = false;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #lookIn(delayMs: number): void {
    this.#timer = this.#options.clock.schedule(() => {
      this.#timer = undefined;
      if (!this.#isWatching) return;
      const { pingMs, clock } = this.#options;
      this.#listen();
      const silentMs = clock.now() - this.#heardAt;
      if (silentMs < pingMs) this.#lookIn(pingMs - silentMs);
      else this.#ask();
    }, delayMs);
  }

  #ask(): void {
    const { pingMs, pingTimeoutMs, clock } = this.#options;
    this.#listen();
    // After a GOAWAY Node sends no PING: the peer cannot be asked, and what it has not finished may go on.
    if (this.#session.closed) {
      this.#lookIn(pingMs);
      return;
    }
    let isOpen = true;
    const answered = (): void => {
      if (!isOpen) return;
      isOpen = false;
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#listen();
      this.#heardAt = clock.now();
      const onAlive = this.#onAlive;
      this.#onAlive = undefined;
      if (this.#isWatching) this.#lookIn(pingMs);
      onAlive?.();
    };
    // An error means that the session is being destroyed, which its owner is told of.
    this.#session.ping((error) => {
      if (error === null) answered();
    });
    const wait = (waitMs: number): void => {
      const dueAt = clock.now() + waitMs;
      this.#timer = clock.schedule(() => {
        const lateMs = clock.now() - dueAt;
        // Anything at all that arrived is a sign of life.
        if (this.#listen()) answered();
        else if (lateMs > blockedFromMs) wait(Math.min(lateMs, pingTimeoutMs));
        else {
          isOpen = false;
          this.#onDead(new PingTimeoutError(`HTTP/2: no answer to a PING within ${pingTimeoutMs} ms`));
        }
      }, waitMs);
    };
    wait(pingTimeoutMs);
  }

  /** Looks whether anything came from the peer since the last look. */
  #listen(): boolean {
    const { bytesRead } = this.#socket;
    if (bytesRead === this.#bytesSeen) return false;
    this.#bytesSeen = bytesRead;
    this.#heardAt = this.#options.clock.now();
    return true;
  }
}
