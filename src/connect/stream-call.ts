/**
 * One request as the session manager sees it: a stream, whose messages it never holds.
 *
 * So it is tried again only until it has a stream: when a connection is refused, does not come about in time, or is
 * being closed by the node.
 */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { Call } from "../cluster/call.ts";
import type { CallRules } from "../cluster/call-rules.ts";
import type { Attempt } from "../core/attempt.ts";
import { outcomeOfStatus } from "../core/classify.ts";
import type { Outcome } from "../core/outcome.ts";
import { remainingMs } from "../resilience/call-context.ts";
import { CarriedStream, type StreamFault, type StreamListener } from "./carried-stream.ts";
import { grpcCodeOf, outcomeOfAnswer } from "./classify.ts";
import { Code } from "./code.ts";
import { connectErrorOf } from "./connect-errors.ts";
import { asConnectError } from "./connect-peer.ts";
import type { ConnectService, FollowedStream } from "./connect-service.ts";
import { cancel } from "./http2-codes.ts";
import { noteLoad } from "./load-trailer.ts";
import { type Header, isUnary, timeoutHeader, timeoutOf } from "./timeout-header.ts";

/** The caller's timer was set before ours, and runs out that much earlier at most. */
const timerSlackMs = 50;

export class StreamCall extends Call implements StreamListener {
  readonly #service: ConnectService;
  readonly #headers: OutgoingHttpHeaders;
  readonly #isUnary: boolean;
  readonly #ownMs: number | undefined;
  /** By the caller, or by the handler that the call is made in. */
  readonly #isTimeGiven: boolean;
  readonly #resolve: (stream: ClientHttp2Stream) => void;
  readonly #reject: (error: Error) => void;
  /** Undefined where the interceptor is not in use. */
  readonly #followed: FollowedStream | undefined;
  readonly #onAbort: () => void;
  #carried: CarriedStream | undefined = undefined;
  #isHandedOver = false;

  /** @throws ConnectError, as a rejection, when there is no stream for it. */
  static run(
    service: ConnectService,
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    followed: FollowedStream | undefined,
  ): Promise<ClientHttp2Stream> {
    return new Promise((resolve, reject) => {
      const header: Header = (name) => textOf(headers[name]);
      const isUnaryCall = isUnary(header);
      const ownMs = timeoutOf(header);
      const base = isUnaryCall ? service.unaryRules : service.streamRules;
      const rules = ownMs === undefined ? base : { ...base, totalMs: ownMs };
      const plainPath = path.split("?", 1)[0] ?? path;
      const call = [service, method, plainPath, rules, headers, isUnaryCall, ownMs, followed] as const;
      new StreamCall(...call, resolve, reject).start();
    });
  }

  private constructor(
    service: ConnectService,
    method: string,
    path: string,
    rules: CallRules,
    headers: OutgoingHttpHeaders,
    isUnaryCall: boolean,
    ownMs: number | undefined,
    followed: FollowedStream | undefined,
    resolve: (stream: ClientHttp2Stream) => void,
    reject: (error: Error) => void,
  ) {
    super(service.cluster, method, path, false, rules);
    this.#service = service;
    this.#headers = headers;
    this.#isUnary = isUnaryCall;
    this.#ownMs = ownMs;
    this.#isTimeGiven = ownMs !== undefined || remainingMs() < Number.POSITIVE_INFINITY;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#followed = followed;
    this.#onAbort = () => this.#deserted(followed?.signal.reason);
    service.callStarted();
    followed?.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  override start(): void {
    super.start();
    if (this.#followed?.signal.aborted === true) this.#onAbort();
  }

  header(name: string): string | undefined {
    return textOf(this.#headers[name]);
  }

  protected canRepeatBody(): boolean {
    return false;
  }

  protected canRace(): boolean {
    return false;
  }

  protected isUnsent(): boolean {
    return !this.#isHandedOver;
  }

  protected override isInLine(): boolean {
    return this.#carried?.isInLine === true;
  }

  protected send(attempt: Attempt): void {
    const { sessions, cluster } = this.#service;
    attempt.isTimed = this.#isUnary;
    const now = (): number => cluster.clock.now();
    const headers = this.#headersFor(now());
    const carried = new CarriedStream(attempt, sessions.of(attempt.node), headers, this, now);
    this.#carried = carried;
    carried.open();
  }

  protected stop(_attempt: Attempt, error: Error): void {
    this.#carried?.stop(error);
  }

  /** Once handed over, the stream itself tells of its end. */
  protected fail(error: Error): void {
    if (!this.#isHandedOver) this.#reject(connectErrorOf(error));
  }

  protected released(): void {
    this.#followed?.signal.removeEventListener("abort", this.#onAbort);
    this.#service.callEnded();
  }

  opened(_carried: CarriedStream, stream: ClientHttp2Stream): void {
    this.#isHandedOver = true;
    this.#resolve(stream);
  }

  unopened({ attempt }: CarriedStream, { error, outcome }: StreamFault): void {
    this.attemptFailed(attempt, outcome, error, true);
  }

  headed({ attempt, headers }: CarriedStream, status: number): void {
    attempt.statusCode = status;
    // gRPC's trailers-only: the whole answer, and a failure as a rule.
    if (grpcCodeOf(headers, undefined) !== undefined) return;
    const isGood = outcomeOfStatus(status).kind === "success";
    this.#answered(attempt, isGood);
  }

  trailed(carried: CarriedStream): void {
    // The reader learns of the failure before the stream is over, and a handler may answer for it at once.
    const outcome = this.#outcomeOf(carried);
    if (outcome.kind !== "success" && outcome.reason !== "aborted") this.noteFailure();
  }

  closedByCaller(carried: CarriedStream, code: number): void {
    // The transport closes it as well when it has read of its failure.
    if (carried.isDecided) {
      this.ended(carried);
      return;
    }
    const isLate = this.cluster.clock.now() >= this.endsAt - timerSlackMs;
    if (code !== cancel && isLate) this.expire(this.endsAt);
    else this.abort(new Error("the stream was closed by its reader"));
  }

  ended(carried: CarriedStream): void {
    const { attempt, headers, trailers } = carried;
    if (attempt.ended) return;
    const fault = carried.isDecided ? undefined : carried.fault;
    if (fault !== undefined) {
      if (this.#followed !== undefined && fault.isUnprocessed) this.#followed.unprocessedFor = fault.error;
      this.endFailed(attempt, fault.outcome, fault.error);
      return;
    }
    const outcome = this.#outcomeOf(carried);
    if (!this.wasAnswered) this.#answered(attempt, outcome.kind === "success");
    if (this.isOver) return;
    if (outcome.kind === "success") {
      noteLoad(attempt.node, headers, trailers, this.cluster.clock.now());
    }
    this.complete(outcome);
  }

  /**
   * Nobody waits for it any more: its caller gave it up, its time ran out, or the transport could not read it. The latter
   * closes no stream that does not stand yet, nor one of which all is here, and then nothing else would tell.
   */
  #deserted(reason: unknown): void {
    const carried = this.#carried;
    // Nor when it has read all: it is closed at once.
    if (this.isOver || carried?.isRead === true) return;
    const error = asConnectError(reason, Code.Canceled);
    if (carried?.isDecided === true) {
      this.ended(carried);
      carried.stop(error);
    } else if (error.code === Code.DeadlineExceeded && this.endsAt < Number.POSITIVE_INFINITY) {
      this.expire(this.endsAt);
    } else {
      this.abort(error);
    }
  }

  #outcomeOf({ attempt, status, headers, trailers }: CarriedStream): Outcome {
    return outcomeOfAnswer(status, headers, trailers, this.hadItsChance(attempt));
  }

  #answered(attempt: Attempt, isGood: boolean): void {
    const { bodyIdleMs } = this.cluster.options.timeouts;
    if (this.#isUnary) this.answered(attempt, isGood, false, bodyIdleMs);
    else this.answered(attempt, isGood, this.#ownMs === undefined);
  }

  #headersFor(now: number): OutgoingHttpHeaders {
    // The time of calls that nobody gave one, `totalMs`, is for us to watch.
    const leftMs = this.#isTimeGiven ? this.endsAt - now : Number.POSITIVE_INFINITY;
    const timeout = timeoutHeader((name) => this.header(name), this.#ownMs, leftMs);
    const added = this.addedHeaders;
    if (timeout === undefined && added === undefined) return this.#headers;
    const headers: OutgoingHttpHeaders = { ...this.#headers };
    if (timeout !== undefined) headers[timeout[0]] = timeout[1];
    for (let index = 0; added !== undefined && index + 1 < added.length; index += 2) {
      headers[added[index] as string] = added[index + 1];
    }
    return headers;
  }
}

function textOf(value: OutgoingHttpHeaders[string]): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value?.toString();
}
