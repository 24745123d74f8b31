/** A node's pool as a plain undici dispatcher, for requests that belong to no call: probes of an active check. */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { Dispatcher } from "undici";
import type { Clock } from "../core/clock.ts";
import { type AttemptListener, AttemptObserver } from "./attempt-observer.ts";
import type { NodePool } from "./node-pool.ts";

export class PoolDispatcher extends Dispatcher {
  readonly #pool: NodePool;
  readonly #clock: Clock;

  constructor(pool: NodePool, clock: Clock) {
    super();
    this.#pool = pool;
    this.#clock = clock;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const observer = new AttemptObserver(undefined, new HandlerListener(handler, this.#clock));
    const accepted = this.#pool.dispatch(options, observer);
    observer.dispatched = true;
    return accepted;
  }

  /** The pool is its balancer's to close. */
  override async close(): Promise<void> {}

  override async destroy(): Promise<void> {}
}

/** Tells a handler of undici's interface what an observer hears. */
class HandlerListener implements AttemptListener {
  readonly clock: Clock;
  readonly #handler: Dispatcher.DispatchHandler;
  #controller: Dispatcher.DispatchController | null = null;

  constructor(handler: Dispatcher.DispatchHandler, clock: Clock) {
    this.#handler = handler;
    this.clock = clock;
  }

  started(_observer: AttemptObserver, controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#handler.onRequestStart?.(controller, null);
  }

  informed(status: number, headers: IncomingHttpHeaders, message: string | undefined): void {
    this.#handler.onResponseStart?.(this.#started, status, headers, message);
  }

  responded(
    _observer: AttemptObserver,
    status: number,
    headers: IncomingHttpHeaders,
    message: string | undefined,
  ): boolean {
    this.#handler.onResponseStart?.(this.#started, status, headers, message);
    return true;
  }

  received(chunk: Buffer): void {
    this.#handler.onResponseData?.(this.#started, chunk);
  }

  ended(_observer: AttemptObserver, trailers: IncomingHttpHeaders): void {
    this.#handler.onResponseEnd?.(this.#started, trailers);
  }

  upgraded(_observer: AttemptObserver, status: number, headers: IncomingHttpHeaders, socket: Duplex): void {
    this.#handler.onRequestUpgrade?.(this.#started, status, headers, socket);
  }

  errored(_observer: AttemptObserver, error: Error): void {
    this.#handler.onResponseError?.(this.#started, error);
  }

  bodySent(chunk: Buffer): void {
    this.#handler.onBodySent?.(chunk);
  }

  requestSent(): void {
    this.#handler.onRequestSent?.();
  }

  responseStarted(): void {
    this.#handler.onResponseStarted?.();
  }

  /** Null before the start, as undici has it, whatever its types say. */
  get #started(): Dispatcher.DispatchController {
    return this.#controller as Dispatcher.DispatchController;
  }
}
