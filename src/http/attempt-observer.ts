/** What undici tells of one attempt of a call, passed on until the attempt is abandoned. */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";
import type { Attempt } from "../core/attempt.ts";
import { outcomeOfStatus } from "../core/classify.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { type Outcome, success } from "../core/outcome.ts";
import type { AttemptFault } from "./classify.ts";
import { type Connection, ConnectionLost } from "./connection.ts";
import { isGoAway, isStreamRefused } from "./http2-errors.ts";

/** How much of an answer that nobody wants is read to keep its connection, and for how long. */
const discardBytes = 64 * 1_024;
const discardMs = 1_000;

type Controller = Dispatcher.DispatchController;
type Headers = IncomingHttpHeaders;

/** The call that the attempt belongs to, which may have another one under way. */
export interface AttemptListener {
  readonly clock: Clock;
  /** The request goes out. */
  started(observer: AttemptObserver, controller: Controller): void;
  /** A 1xx answer. */
  informed(status: number, headers: Headers, message: string | undefined): void;
  /** Final headers. False when the answer is not wanted, because the call goes on elsewhere. */
  responded(
    observer: AttemptObserver,
    status: number,
    headers: Headers,
    message: string | undefined,
  ): boolean;
  received(chunk: Buffer): void;
  ended(observer: AttemptObserver, trailers: Headers): void;
  upgraded(observer: AttemptObserver, status: number, headers: Headers, socket: Duplex): void;
  errored(observer: AttemptObserver, error: Error, fault: AttemptFault): void;
  bodySent(chunk: Buffer): void;
  requestSent(): void;
  responseStarted(): void;
}

/** The pool that an attempt goes through; not there for a dispatcher of the program's own. */
export interface AttemptCarrier {
  /** Whether it had a connection that takes requests at any time since then. */
  wasServing(since: number): boolean;
  /** undici is done with the request: it was answered, or met an error. */
  ended(observer: AttemptObserver, error: Error | undefined): void;
  /** The connection was lost before the request began. False if it cannot go out on another one. */
  sendAgain(observer: AttemptObserver, options: Dispatcher.DispatchOptions): boolean;
  /** @param ranOut it was given all its time, and no answer came. */
  abandoned(observer: AttemptObserver, ranOut: boolean): void;
}

/** A connection that was idle for less was not closed for being idle: servers wait for seconds. */
const staleFromMs = 50;
/** How often a request that never began may move to another connection. Each costs a connection that was lost. */
const mostMoves = 2;

/** Thrown into undici to drop a request that waited in its queue: it costs no connection, an abort would. */
const dropped = new Error("the attempt was abandoned before it was sent");
/** Thrown into undici instead of the second sending of a stream that the peer refused: where it goes is ours to say. */
const refused = new Error("HTTP/2: the node refused the stream (REFUSED_STREAM)");

/** The handler that undici is given for one attempt. Deaf once the attempt is abandoned. */
export class AttemptObserver implements Dispatcher.DispatchHandler {
  /** Undefined for a request that belongs to no call. */
  readonly attempt: Attempt | undefined;
  readonly #listener: AttemptListener;
  /** What the answer's status, or what the call made of it, means for the node. */
  outcome: Outcome = success;
  /** Undefined until the request is written to a connection. */
  controller: Controller | undefined = undefined;
  /** `dispatch` has returned: a request that starts later had to wait for its connection. */
  dispatched = false;
  /** Written by the pool: itself until the request is over, and what it sends where. */
  carrier: AttemptCarrier | undefined = undefined;
  connection: Connection | undefined = undefined;
  options: Dispatcher.DispatchOptions | undefined = undefined;
  /** When it was given to its connection, or before that joined the line for one; on the balancer's clock. */
  dispatchedAt = 0;
  #moves = 0;
  /** Something of the answer came. */
  #heard = false;
  #state: "open" | "discarding" | "abandoned" = "open";
  /** True while the caller's code runs: what it throws comes back as the request's error, and stays true then. */
  #byHandler = false;
  #discarded = 0;
  #discardTimer: Timer | undefined = undefined;

  constructor(attempt: Attempt | undefined, listener: AttemptListener) {
    this.attempt = attempt;
    this.#listener = listener;
  }

  /** It is its turn to be sent. */
  leaveLine(now: number): void {
    if (this.isInLine) this.attempt?.leftLine(now - this.dispatchedAt);
  }

  /** Whether it waits for a connection, all of which are in use. */
  get isInLine(): boolean {
    return this.connection === undefined && this.carrier?.wasServing(this.dispatchedAt) === true;
  }

  /**
   * Nothing more is reported; the request is aborted, now or when its turn comes.
   *
   * @param ranOut it was given all its time, and no answer came.
   */
  abandon(error: Error, ranOut: boolean): void {
    this.#state = "abandoned";
    this.carrier?.abandoned(this, ranOut);
    this.controller?.abort(error);
  }

  /** It ends without undici's having been asked, or undici threw instead of telling. */
  failed(error: Error, fault: AttemptFault): void {
    if (this.#state !== "open") return;
    this.#state = "abandoned";
    this.carrier = undefined;
    this.#listener.errored(this, error, fault);
  }

  onRequestStart(controller: Controller): void {
    if (this.#state === "abandoned") throw dropped;
    // undici sends a refused stream once more by itself (undici.md).
    if (this.controller !== undefined && this.connection !== undefined) throw refused;
    this.controller = controller;
    if (this.dispatched) this.attempt?.sent(this.#listener.clock.now());
    this.#listener.started(this, controller);
  }

  onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void {
    if (this.#state !== "open") return;
    if (status < 200) {
      this.#byHandler = true;
      this.#listener.informed(status, headers, message);
      this.#byHandler = false;
      return;
    }
    this.outcome = outcomeOfStatus(status);
    if (this.attempt !== undefined) this.attempt.statusCode = status;
    this.#byHandler = true;
    const delivered = this.#listener.responded(this, status, headers, message);
    this.#byHandler = false;
    if (!delivered) this.#discard(controller);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#state === "open") {
      this.#byHandler = true;
      this.#listener.received(chunk);
      this.#byHandler = false;
    } else if (this.#state === "discarding") {
      this.#discarded += chunk.length;
      if (this.#discarded > discardBytes) this.#endDiscard(controller);
    }
  }

  onResponseEnd(_controller: Controller, trailers: Headers): void {
    this.#discardTimer?.cancel();
    this.#leaveCarrier(undefined);
    if (this.#state !== "open") return;
    this.#state = "abandoned";
    this.#listener.ended(this, trailers);
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    this.#discardTimer?.cancel();
    const { carrier, connection, options } = this;
    this.#leaveCarrier(error);
    if (this.#state !== "open") return;
    const isLost = error instanceof ConnectionLost;
    if (isLost && this.controller === undefined && carrier !== undefined && options !== undefined) {
      if (this.#moves++ < mostMoves && carrier.sendAgain(this, options)) return;
    }
    this.#state = "abandoned";
    this.#listener.errored(this, isLost ? error.cause : error, this.#faultOf(error, connection));
  }

  onRequestUpgrade(_controller: Controller, status: number, headers: Headers, socket: Duplex): void {
    // Over HTTP/2 the "socket" is a stream of a connection that goes on, and this is its request as long as it is open.
    if (this.connection?.isMultiplexed === true) socket.once("close", () => this.#leaveCarrier(undefined));
    else this.#leaveCarrier(undefined);
    if (this.#state !== "open") {
      socket.destroy();
      return;
    }
    this.#state = "abandoned";
    if (this.attempt !== undefined) this.attempt.statusCode = status;
    this.#listener.upgraded(this, status, headers, socket);
  }

  onBodySent(chunk: Buffer): void {
    if (this.#state !== "open") return;
    this.#byHandler = true;
    this.#listener.bodySent(chunk);
    this.#byHandler = false;
  }

  onRequestSent(): void {
    if (this.#state !== "open") return;
    this.#byHandler = true;
    this.#listener.requestSent();
    this.#byHandler = false;
  }

  onResponseStarted(): void {
    this.#heard = true;
    if (this.#state === "open") this.#listener.responseStarted();
  }

  #leaveCarrier(error: Error | undefined): void {
    const { carrier } = this;
    if (carrier === undefined) return;
    this.carrier = undefined;
    carrier.ended(this, error);
  }

  #faultOf(error: Error, connection: Connection | undefined): AttemptFault {
    if (this.#byHandler) return "handler";
    if (this.controller === undefined) return "unsent";
    if (error === refused) return "refused";
    if (!this.#heard && isStreamRefused(error)) return "refused";
    // A peer that ends a session before it answered anything on it is not just closing.
    const hasServed = connection !== undefined && connection.answered > 0;
    // Requests whose body cannot be sent again by undici come out at once, with the GOAWAY that left them out.
    const isLeftOut = error instanceof ConnectionLost ? error.unprocessed : !this.#heard && isGoAway(error);
    if (isLeftOut) return hasServed ? "unprocessed" : "refused";
    if (hasServed && !connection.isMultiplexed && !this.#heard && connection.idleBeforeMs >= staleFromMs) {
      return "stale";
    }
    return "broken";
  }

  /** Reads on for a little, so that the connection can be used again. */
  #discard(controller: Controller): void {
    this.#state = "discarding";
    this.#discardTimer = this.#listener.clock.schedule(() => this.#endDiscard(controller), discardMs);
  }

  #endDiscard(controller: Controller): void {
    this.#discardTimer?.cancel();
    this.#state = "abandoned";
    controller.abort(dropped);
  }
}
