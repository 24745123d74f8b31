/**
 * A node's connections as a plain undici dispatcher, for requests that belong to no call: probes of an active check.
 *
 * Nodes that speak HTTP/2 without TLS understand no probe over a connection of its own, which speaks HTTP/1.1.
 */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { Dispatcher } from "undici";
import { cancel, nameOf, noError } from "./http2-codes.ts";
import type { Loss, NodeSession, Passenger } from "./node-session.ts";
import type { NodeSessions, Waiter } from "./node-sessions.ts";

export class SessionDispatcher extends Dispatcher {
  readonly #sessions: NodeSessions;

  constructor(sessions: NodeSessions) {
    super();
    this.#sessions = sessions;
  }

  /** Of a request without a body. */
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const { method, path } = options;
    const { host, ...others } = (options.headers ?? {}) as Record<string, string>;
    const headers: OutgoingHttpHeaders = { ...others, ":method": method, ":path": path };
    if (host !== undefined) headers[":authority"] = host;
    this.#sessions.acquire(new DispatchedStream(headers, handler));
    return true;
  }

  /** The connections are their balancer's to close. */
  override async close(): Promise<void> {}

  override async destroy(): Promise<void> {}
}

class DispatchedStream implements Waiter, Passenger, Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;
  rawHeaders: null = null;
  rawTrailers: null = null;
  readonly #headers: OutgoingHttpHeaders;
  readonly #handler: Dispatcher.DispatchHandler;
  #session: NodeSession | undefined = undefined;
  #stream: ClientHttp2Stream | undefined = undefined;
  #isOver = false;

  constructor(headers: OutgoingHttpHeaders, handler: Dispatcher.DispatchHandler) {
    this.#headers = headers;
    this.#handler = handler;
  }

  granted(session: NodeSession): void {
    this.#handler.onRequestStart?.(this, null);
    if (this.aborted) return;
    session.board(this);
    this.#session = session;
    try {
      this.#stream = session.request(this.#headers);
    } catch (error) {
      this.#end(error as Error);
      return;
    }
    this.#listen(this.#stream);
    this.#stream.end();
  }

  refused({ error }: Loss): void {
    this.#end(error);
  }

  connectionLost({ error }: Loss): void {
    this.#stream?.destroy();
    this.#end(error);
  }

  abort(reason: Error): void {
    if (this.#isOver || this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.#stream?.close(cancel);
    this.#end(reason);
  }

  pause(): void {
    this.paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.paused = false;
    this.#stream?.resume();
  }

  #listen(stream: ClientHttp2Stream): void {
    let isAnswered = false;
    stream.on("response", (headers) => {
      isAnswered = true;
      if (!this.#isOver) this.#handler.onResponseStart?.(this, headers[":status"] ?? 0, headers as never);
    });
    stream.on("data", (chunk: Buffer) => {
      if (!this.#isOver) this.#handler.onResponseData?.(this, chunk);
    });
    stream.on("error", (error) => this.#end(error));
    stream.on("close", () => {
      const { rstCode } = stream;
      if (isAnswered && rstCode === noError) this.#end(undefined);
      else this.#end(new Error(`the stream was closed without an answer: ${nameOf(rstCode ?? cancel)}`));
    });
  }

  #end(error: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#session?.leave(this);
    if (error === undefined) this.#handler.onResponseEnd?.(this, {});
    else this.#handler.onResponseError?.(this, error);
  }
}
