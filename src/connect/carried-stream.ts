/**
 * The stream of one attempt: waits for a connection, is opened, and is watched until it is over.
 *
 * Connect's transport is given the stream itself and reads and writes it. Here only events are listened to, before the
 * transport listens: what is known when it hears of an end is known here already.
 */
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import type { Attempt } from "../core/attempt.ts";
import { outcomeOfError } from "../core/classify.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { grpcCodeOf } from "./classify.ts";
import { Code } from "./code.ts";
import { connectErrorOf } from "./connect-errors.ts";
import { connectError } from "./connect-peer.ts";
import { type EndOfStream, EndOfStreamReader } from "./end-of-stream.ts";
import { cancel, enhanceYourCalm, nameOf, noError, outcomeOfFarewell, refusedStream } from "./http2-codes.ts";
import type { Loss, NodeSession, Passenger } from "./node-session.ts";
import type { NodeSessions, Waiter } from "./node-sessions.ts";

/** With these http2 refuses to open a stream because of the connection that it would be on. */
const sessionErrors: ReadonlySet<string> = new Set([
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_OUT_OF_STREAMS",
]);

/** How a stream failed without an answer, or did not come about. */
export interface StreamFault extends Loss {
  /** The node has provably not processed it. */
  readonly isUnprocessed: boolean;
}

/** Whoever sent the attempt. */
export interface StreamListener {
  /** The transport may have it. */
  opened(carried: CarriedStream, stream: ClientHttp2Stream): void;
  /** It never was opened. */
  unopened(carried: CarriedStream, fault: StreamFault): void;
  /** Response headers are here. */
  headed(carried: CarriedStream, status: number): void;
  /** Trailers are here, or what stands for them in the body. Messages before them may not have been read yet. */
  trailed(carried: CarriedStream): void;
  /** Whoever reads it gave it up. */
  closedByCaller(carried: CarriedStream, code: number): void;
  /** It was read to its end, or it broke. Called once after `opened`, unless stopped. */
  ended(carried: CarriedStream): void;
}

export class CarriedStream implements Waiter, Passenger {
  readonly attempt: Attempt;
  status = 0;
  headers: IncomingHttpHeaders | undefined = undefined;
  trailers: IncomingHttpHeaders | undefined = undefined;
  readonly #sessions: NodeSessions;
  readonly #headers: OutgoingHttpHeaders;
  readonly #listener: StreamListener;
  readonly #now: () => number;
  #state: "new" | "waiting" | "open" | "over" = "new";
  #session: NodeSession | undefined = undefined;
  #stream: ClientHttp2Stream | undefined = undefined;
  #close: ClientHttp2Stream["close"] | undefined = undefined;
  #loss: Loss | undefined = undefined;
  #gaveUp = false;
  /** The answer was, when the stream was closed here. */
  #isWhole = false;
  /** `open` has not returned yet. */
  #isOpening = false;

  constructor(
    attempt: Attempt,
    sessions: NodeSessions,
    headers: OutgoingHttpHeaders,
    listener: StreamListener,
    now: () => number,
  ) {
    this.attempt = attempt;
    this.#sessions = sessions;
    this.#headers = headers;
    this.#listener = listener;
    this.#now = now;
  }

  /** Whether whoever reads it gave it up. */
  get gaveUp(): boolean {
    return this.#gaveUp;
  }

  /** It waits for its turn on the node's connections, which other calls of ours have in use. */
  get isInLine(): boolean {
    return this.#state === "waiting" && this.#sessions.isInLine(this);
  }

  /** The node's own verdict as gRPC's code, 0 for a good end; undefined while there is none, and where it gives none. */
  get code(): number | undefined {
    return grpcCodeOf(this.headers, this.trailers);
  }

  /**
   * Whether it is known how it went, read or not. A stream's own answer is a 200: any other has a page in place of messages,
   * of a proxy as a rule, which transports do not read.
   */
  get isDecided(): boolean {
    return this.code !== undefined || (this.status > 0 && this.status !== 200);
  }

  /** All of the answer has been read. */
  get isRead(): boolean {
    return this.#stream?.readableEnded === true;
  }

  /** Nothing has been sent. */
  get isUnsent(): boolean {
    return this.#stream === undefined || this.#stream.pending;
  }

  /** Why there is no answer; undefined while there may be one, and when there is. */
  get fault(): StreamFault | undefined {
    const stream = this.#stream;
    if (this.code !== undefined || this.#isWhole) return undefined;
    const isUnprocessed = this.#isUnprocessed();
    if (this.#loss !== undefined) return { ...this.#loss, isUnprocessed };
    if (stream === undefined || !(stream.closed || stream.destroyed)) return undefined;
    const { rstCode } = stream;
    if (rstCode === noError) {
      if (this.status > 0) return undefined;
      const error = new Error("the stream was closed without an answer");
      return { error, outcome: failure("reset", "stream closed without an answer"), isUnprocessed };
    }
    const error = stream.errored ?? new Error(`the stream was reset with ${nameOf(rstCode ?? cancel)}`);
    return { error, outcome: this.#outcomeOfReset(rstCode ?? cancel), isUnprocessed };
  }

  /** Opens it now or when there is a connection; the listener is told, at once perhaps. */
  open(): void {
    this.#state = "waiting";
    this.#isOpening = true;
    this.#sessions.acquire(this);
    this.#isOpening = false;
  }

  /** Gives it up: nothing more is told of it. */
  stop(error: Error): void {
    if (this.#state === "waiting") this.#sessions.leave(this);
    const wasOpen = this.#state === "open";
    this.#over();
    if (!wasOpen || this.#gaveUp) return;
    this.#close?.call(this.#stream, cancel);
    this.#stream?.destroy(connectErrorOf(error));
  }

  granted(session: NodeSession, lineMs: number): void {
    let stream: ClientHttp2Stream;
    // That others of our calls had its connections in use is not the node's doing.
    if (lineMs > 0) this.attempt.leftLine(lineMs);
    session.board(this);
    try {
      stream = session.request(this.#headers);
    } catch (error) {
      session.leave(this);
      const isClosing = sessionErrors.has(errorCode(error) ?? "");
      if (isClosing) session.retire();
      // What is wrong with the headers would be wrong elsewhere too.
      const outcome = isClosing
        ? ignored("closing", "connection closing")
        : ignored("call", describeError(error));
      this.#refuse({ error: error as Error, outcome });
      return;
    }
    this.#session = session;
    this.#stream = stream;
    this.#state = "open";
    if (!this.#isOpening) this.attempt.sent(this.#now());
    this.#watch(stream);
    this.#listener.opened(this, stream);
  }

  refused(loss: Loss): void {
    this.#refuse(loss);
  }

  connectionLost(loss: Loss): void {
    this.#loss = loss;
    const code = this.#gaveUp ? Code.Canceled : Code.Unavailable;
    this.#stream?.destroy(connectError(`connection lost: ${loss.error.message}`, code, loss.error));
    this.#finish();
  }

  #watch(stream: ClientHttp2Stream): void {
    stream.on("response", (headers) => {
      this.status = headers[":status"] ?? 0;
      this.headers = headers;
      if (this.#state === "open") this.#listener.headed(this, this.status);
    });
    // The messages before them may not have been read yet: the stream is over when it is closed.
    stream.on("trailers", (trailers) => this.#trailed(trailers));
    this.#watchBody(stream);
    stream.on("end", () => {
      // What came with the end is told first, and the transport learns of it.
      if (!stream.writableFinished) setImmediate(() => this.#answeredEarly(stream));
    });
    stream.on("error", () => this.#finish());
    stream.on("close", () => {
      const { fault } = this;
      this.#finish();
      // One that a node closes without an error and without an answer ends silently: the transport would wait for ever.
      if (fault !== undefined && stream.errored === null && this.status === 0) {
        stream.emit("error", connectError(fault.error.message, Code.Unavailable, fault.error));
      }
    });
    // The transport has no other way to say that nobody waits any more.
    const close = stream.close;
    this.#close = close;
    stream.close = (code, callback) => {
      const isFirst = this.#state === "open" && !stream.closed;
      if (isFirst) this.#gaveUp = true;
      close.call(stream, code, callback);
      if (isFirst) this.#listener.closedByCaller(this, code ?? noError);
    };
  }

  /**
   * The answer is whole, and the request is not. The call is over with it: the transport sends no more, and does not end
   * its side of the stream either, which would stay open for ever.
   */
  #answeredEarly(stream: ClientHttp2Stream): void {
    if (stream.closed) return;
    this.#isWhole = true;
    this.#finish();
    this.#close?.call(stream, cancel);
  }

  /** Looks at the body as it comes in: whoever listened to "data" would take it from the transport. */
  #watchBody(stream: ClientHttp2Stream): void {
    const reader = EndOfStreamReader.of(this.#headers["content-type"]?.toString());
    if (reader === undefined) return;
    const { push } = stream;
    stream.push = (chunk, encoding) => {
      const end = chunk === null ? undefined : reader.read(chunk as Uint8Array);
      // Headers that came with it are told of on the next tick, too, and before.
      if (end !== undefined) process.nextTick(() => this.#bodyEnded(end));
      return push.call(stream, chunk, encoding);
    };
  }

  #bodyEnded(end: EndOfStream): void {
    const trailers = this.status === 200 ? end.trailers(this.headers ?? {}) : undefined;
    if (trailers !== undefined) this.#trailed(trailers);
  }

  #trailed(trailers: IncomingHttpHeaders): void {
    this.trailers = trailers;
    if (this.#state === "open") this.#listener.trailed(this);
  }

  #refuse(loss: Loss): void {
    if (this.#state !== "waiting") return;
    this.#over();
    this.#loss = loss;
    this.#listener.unopened(this, { ...loss, isUnprocessed: true });
  }

  #finish(): void {
    if (this.#state !== "open") return;
    this.#over();
    this.#listener.ended(this);
  }

  #over(): void {
    this.#state = "over";
    this.#session?.leave(this);
  }

  #isUnprocessed(): boolean {
    const stream = this.#stream;
    if (stream === undefined) return true;
    if (this.status > 0) return false;
    const { farewell } = this.#session ?? {};
    if (stream.rstCode === refusedStream && this.#loss === undefined) return true;
    if (stream.id === undefined) return true;
    return farewell !== undefined && stream.id > farewell.lastId;
  }

  #outcomeOfReset(code: number): Outcome {
    const { farewell } = this.#session ?? {};
    const isLeaving = farewell !== undefined && (farewell.code !== noError || code === refusedStream);
    // The streams of a session that a GOAWAY ends hear of it before the session does.
    if (isLeaving) return outcomeOfFarewell(farewell.code);
    if (code === refusedStream) return failure("reset", "stream refused");
    const { errored } = this.#stream ?? {};
    const known = errored === null || errored === undefined ? undefined : outcomeOfError(errored);
    if (known?.kind === "failure" && known.reason === "reset") return known;
    return failure("reset", code === enhanceYourCalm ? "ENHANCE_YOUR_CALM" : nameOf(code));
  }
}
