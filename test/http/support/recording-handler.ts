/** A handler of undici's present interface that writes down what it is told, in order. */
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";

type Controller = Dispatcher.DispatchController;

export interface HandlerHooks {
  readonly onRequestStart?: (controller: Controller) => void;
  readonly onResponseStart?: (controller: Controller, status: number) => void;
  readonly onResponseData?: (controller: Controller, chunk: Buffer) => void;
  readonly onResponseEnd?: () => void;
  readonly onResponseError?: (error: Error) => void;
  readonly onRequestUpgrade?: (socket: Duplex) => void;
  readonly onBodySent?: (chunk: Buffer) => void;
  readonly onRequestSent?: () => void;
}

export class RecordingHandler implements Dispatcher.DispatchHandler {
  /** "start", "status 200", "data", "end", "error", "upgrade 101"; repeated data counts once. */
  readonly events: string[] = [];
  /** The reverse of `events`: how often one of the ends was told. */
  ends = 0;
  controller: Controller | undefined;
  statusCode = 0;
  headers: IncomingHttpHeaders = {};
  rawHeaders: Controller["rawHeaders"];
  rawTrailers: Controller["rawTrailers"];
  trailers: IncomingHttpHeaders = {};
  sent = 0;
  error: Error | null | undefined;
  readonly chunks: Buffer[] = [];
  /** Resolves at the first end of whichever kind. */
  readonly done: Promise<void>;
  readonly #finish: () => void;
  readonly #hooks: HandlerHooks;

  constructor(hooks: HandlerHooks = {}) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#finish = resolve;
    this.#hooks = hooks;
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString();
  }

  onRequestStart(controller: Controller): void {
    this.controller = controller;
    this.#note("start");
    this.#hooks.onRequestStart?.(controller);
  }

  onResponseStart(controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    this.statusCode = status;
    this.headers = headers;
    this.rawHeaders = controller.rawHeaders;
    this.#note(`status ${status}`);
    this.#hooks.onResponseStart?.(controller, status);
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.events.at(-1) !== "data") this.#note("data");
    this.chunks.push(chunk);
    this.#hooks.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Controller, trailers: IncomingHttpHeaders): void {
    this.trailers = trailers;
    this.rawTrailers = controller.rawTrailers;
    this.#end("end");
    this.#hooks.onResponseEnd?.();
  }

  onResponseError(_controller: Controller | null, error: Error): void {
    this.error = error ?? null;
    this.#end("error");
    this.#hooks.onResponseError?.(error);
  }

  onRequestUpgrade(
    _controller: Controller,
    status: number,
    _headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    this.#end(`upgrade ${status}`);
    this.#hooks.onRequestUpgrade?.(socket);
  }

  onBodySent(chunk: Buffer): void {
    this.sent += chunk.length;
    this.#hooks.onBodySent?.(chunk);
  }

  onRequestSent(): void {
    this.#note("sent");
    this.#hooks.onRequestSent?.();
  }

  #note(event: string): void {
    this.events.push(event);
  }

  #end(event: string): void {
    this.ends++;
    this.#note(event);
    this.#finish();
  }
}
