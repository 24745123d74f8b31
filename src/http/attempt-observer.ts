/** What undici tells of one attempt of a call, passed on until the attempt is abandoned. */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";
import { outcomeOfStatus } from "../core/classify.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { type Outcome, success } from "../core/outcome.ts";

/** How much of an answer that nobody wants is read to keep its connection, and for how long. */
const discardBytes = 64 * 1_024;
const discardMs = 1_000;

type Controller = Dispatcher.DispatchController;
type Headers = IncomingHttpHeaders;

/** The call that the attempt belongs to. */
export interface AttemptListener {
  readonly clock: Clock;
  /** @param waited the request had to wait for its connection. */
  started(controller: Controller, waited: boolean): void;
  /** A 1xx answer. */
  informed(status: number, headers: Headers, message: string | undefined): void;
  /** Final headers. False when the answer is not wanted, because the call goes on elsewhere. */
  responded(status: number, headers: Headers, message: string | undefined, outcome: Outcome): boolean;
  received(chunk: Buffer): void;
  ended(trailers: Headers, outcome: Outcome): void;
  upgraded(status: number, headers: Headers, socket: Duplex): void;
  /** @param byHandler the caller's own code threw. */
  errored(error: Error, unsent: boolean, connected: boolean, byHandler: boolean): void;
  bodySent(chunk: Buffer): void;
  requestSent(): void;
  responseStarted(): void;
}

/** Thrown into undici to drop a request that waited in its queue: it costs no connection, an abort would. */
const dropped = new Error("the attempt was abandoned before it was sent");

/** The handler that undici is given for one attempt. Deaf once the attempt is abandoned. */
export class AttemptObserver implements Dispatcher.DispatchHandler {
  readonly #listener: AttemptListener;
  /** Undefined until the request is written to a connection. */
  controller: Controller | undefined = undefined;
  /** `dispatch` has returned: a request that starts later had to wait for its connection. */
  dispatched = false;
  #state: "open" | "discarding" | "abandoned" = "open";
  #outcome: Outcome = success;
  /** True while the caller's code runs: what it throws comes back as the request's error, and stays true then. */
  #byHandler = false;
  #discarded = 0;
  #discardTimer: Timer | undefined = undefined;

  constructor(listener: AttemptListener) {
    this.#listener = listener;
  }

  /** Nothing more is reported; the request is aborted, now or when its turn comes. */
  abandon(error: Error): void {
    this.#state = "abandoned";
    this.controller?.abort(error);
  }

  /** `dispatch` threw instead of telling. */
  failed(error: Error): void {
    if (this.#state !== "open") return;
    this.#state = "abandoned";
    this.#listener.errored(error, this.controller === undefined, this.controller !== undefined, true);
  }

  onRequestStart(controller: Controller): void {
    if (this.#state === "abandoned") throw dropped;
    // HTTP/2 sends a refused stream once more by itself, with another controller (undici.md).
    this.controller = controller;
    this.#listener.started(controller, this.dispatched);
  }

  onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void {
    if (this.#state !== "open") return;
    if (status < 200) {
      this.#byHandler = true;
      this.#listener.informed(status, headers, message);
      this.#byHandler = false;
      return;
    }
    this.#outcome = outcomeOfStatus(status);
    this.#byHandler = true;
    const delivered = this.#listener.responded(status, headers, message, this.#outcome);
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
    if (this.#state !== "open") return;
    this.#state = "abandoned";
    this.#listener.ended(trailers, this.#outcome);
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    this.#discardTimer?.cancel();
    if (this.#state !== "open") return;
    this.#state = "abandoned";
    const connected = this.controller !== undefined;
    this.#listener.errored(error, !connected, connected, this.#byHandler);
  }

  onRequestUpgrade(_controller: Controller, status: number, headers: Headers, socket: Duplex): void {
    if (this.#state !== "open") {
      socket.destroy();
      return;
    }
    this.#state = "abandoned";
    this.#listener.upgraded(status, headers, socket);
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
    if (this.#state === "open") this.#listener.responseStarted();
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
