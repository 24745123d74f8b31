/**
 * Makes the connections of one node: as many as its pool wants, as few at once as the limits allow, and none for a
 * while after the node or this process said that it is too much.
 */
import type { Socket } from "node:net";
import type { ConnectionLimits, LimitWaiter } from "../cluster/connection-limits.ts";
import { exponentialMs } from "../core/backoff.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { Connect } from "./connector.ts";

/** How long no connection is made to a node that sent ENHANCE_YOUR_CALM, doubling while it goes on. */
const calmMs = 1_000;
const longestCalmMs = 30_000;

/** The pool that connections are made for. */
export interface ConnectionDemand {
  /** Connections that take requests. */
  readonly standing: number;
  /** Connections that should be in the making. */
  readonly wanted: number;
  /** Whether calls wait for them, or they are only to be kept ready. */
  readonly isPressing: boolean;
  /** How many may be in the making at once. */
  readonly atOnce: number;
  made(socket: Socket): void;
  /** @param startedAt when the connection began to be made. */
  failed(error: Error, startedAt: number): void;
}

export interface ConnectionMakerOptions {
  readonly perNode: number;
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
  /** Asked to close an idle connection of another node, when there are as many as there may be. */
  readonly makeRoom: () => void;
}

export class ConnectionMaker implements LimitWaiter {
  /** How the next connection is made. */
  connect: Connect;
  readonly #options: ConnectionMakerOptions;
  readonly #demand: ConnectionDemand;
  #connecting = 0;
  #restsUntil = 0;
  #timer: Timer | undefined = undefined;
  #timerAt = 0;
  #calmUntil = Number.NEGATIVE_INFINITY;
  #calms = 0;
  #closed = false;

  constructor(connect: Connect, options: ConnectionMakerOptions, demand: ConnectionDemand) {
    this.connect = connect;
    this.#options = options;
    this.#demand = demand;
  }

  /** Connections in the making. */
  get connecting(): number {
    return this.#connecting;
  }

  /** Whether the node demanded calm, and has not had it yet. */
  isCalming(now: number): boolean {
    return now < this.#calmUntil;
  }

  /** Makes as many connections as are wanted and allowed. */
  make(): void {
    const { perNode, limits, clock } = this.#options;
    if (this.#closed) return;
    const restMs = this.#restsUntil - clock.now();
    if (restMs > 0) {
      this.makeIn(restMs);
      return;
    }
    const demand = this.#demand;
    while (
      demand.standing + this.#connecting < perNode &&
      this.#connecting < Math.min(demand.wanted, demand.atOnce)
    ) {
      // What is only to be kept ready takes nothing from others.
      if (!demand.isPressing && limits.isFull) return;
      if (!limits.start(this, demand.standing + this.#connecting === 0)) {
        if (limits.isFull) this.#options.makeRoom();
        return;
      }
      this.#makeOne();
    }
  }

  /** The same, after a while at the latest. */
  makeIn(delayMs: number): void {
    const { clock } = this.#options;
    const at = clock.now() + delayMs;
    if (this.#closed || (this.#timer !== undefined && this.#timerAt <= at)) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = clock.schedule(() => {
      this.#timer = undefined;
      this.make();
    }, delayMs);
  }

  roomAppeared(): void {
    this.make();
  }

  /** Nobody waits for a connection any more. */
  forgetDemand(): void {
    this.#options.limits.forget(this);
  }

  /** Makes none for a while. */
  rest(forMs: number): void {
    this.#restsUntil = this.#options.clock.now() + forMs;
  }

  /** The node demanded calm. */
  calm(): void {
    const now = this.#options.clock.now();
    if (now - this.#calmUntil > longestCalmMs) this.#calms = 0;
    const forMs = exponentialMs(this.#calms++, calmMs, longestCalmMs);
    this.#calmUntil = now + forMs;
    this.rest(forMs);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#options.limits.forget(this);
  }

  #makeOne(): void {
    const { limits, clock } = this.#options;
    const startedAt = clock.now();
    const { connect } = this;
    this.#connecting++;
    connect((error, socket) => {
      this.#connecting--;
      if (socket === null) {
        limits.failed();
        if (!this.#closed) this.#demand.failed(error as Error, startedAt);
        return;
      }
      limits.connected();
      socket.once("close", () => limits.closed());
      if (!this.#closed && connect === this.connect) {
        this.#demand.made(socket);
        return;
      }
      // Nobody wants it, or it shows a certificate that was replaced meanwhile.
      socket.destroy();
      this.make();
    });
  }
}
