/**
 * One unary call as the interceptor sees it: its message is at hand, so that it can be sent again, to another node.
 *
 * Each attempt runs the interceptors behind ours and Connect's own transport anew; the session manager finds the node
 * of the attempt by a header that it takes off again.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { ConnectError, Interceptor } from "@connectrpc/connect";
import { Call } from "../cluster/call.ts";
import type { CallRules } from "../cluster/call-rules.ts";
import type { Attempt } from "../core/attempt.ts";
import { ignored, type Outcome, success } from "../core/outcome.ts";
import { remainingMs } from "../resilience/call-context.ts";
import type { StreamFault } from "./carried-stream.ts";
import { grpcCodeOf, madeGoodBelow, outcomeOfCode } from "./classify.ts";
import { Code, nameOfCode } from "./code.ts";
import { connectErrorOf } from "./connect-errors.ts";
import { asConnectError, connectError } from "./connect-peer.ts";
import { attemptHeader, type ConnectService } from "./connect-service.ts";
import { noteLoad } from "./load-trailer.ts";
import { RpcAttempt } from "./rpc-attempt.ts";
import { type Header, timeoutHeader, timeoutOf } from "./timeout-header.ts";

type Next = ReturnType<Interceptor>;
type Request = Parameters<Next>[0];
export type UnaryRequest = Extract<Request, { readonly stream: false }>;
export type Response = Awaited<ReturnType<Next>>;

/** IDEMPOTENCY_UNKNOWN of google.protobuf.MethodOptions; both other levels say that a call may run twice. */
const unknownIdempotency = 0;
/** How a gRPC server says when to try again, negative for never (gRFC A6). */
const pushbackHeader = "grpc-retry-pushback-ms";

export class RpcCall extends Call {
  readonly #service: ConnectService;
  readonly #next: Next;
  readonly #request: UnaryRequest;
  readonly #header: Header;
  readonly #ownMs: number | undefined;
  /** By the caller, or by the handler that the call is made in. */
  readonly #isTimeGiven: boolean;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: Error) => void;
  readonly #onAbort: () => void;
  /** Runs something in the asynchronous context of the caller: a later attempt begins in that of a timer. */
  readonly #inCallersContext: <R>(work: () => R) => R = AsyncLocalStorage.snapshot();
  /** Of the attempt under way; of two when the call is hedged. */
  readonly #attempts: Map<Attempt, { readonly rpc: RpcAttempt; readonly key: string }> = new Map();

  /** @throws ConnectError, as a rejection: the node's own, or ours where none gave an answer. */
  static run(service: ConnectService, next: Next, request: UnaryRequest): Promise<Response> {
    return new Promise((resolve, reject) => {
      service.assertOpen();
      const header: Header = (name) => request.header.get(name) ?? undefined;
      const ownMs = timeoutOf(header);
      const rules = ownMs === undefined ? service.unaryRules : { ...service.unaryRules, totalMs: ownMs };
      new RpcCall(service, next, request, header, ownMs, rules, resolve, reject).start();
    });
  }

  private constructor(
    service: ConnectService,
    next: Next,
    request: UnaryRequest,
    header: Header,
    ownMs: number | undefined,
    rules: CallRules,
    resolve: (response: Response) => void,
    reject: (error: Error) => void,
  ) {
    const { method } = request;
    const path = `/${request.service.typeName}/${method.name}`;
    const isIdempotent = method.idempotency !== unknownIdempotency || rules.retry.methods.has(path);
    super(service.cluster, "POST", path, rules.idempotent ?? isIdempotent, rules);
    this.#service = service;
    this.#next = next;
    this.#request = request;
    this.#header = header;
    this.#ownMs = ownMs;
    this.#isTimeGiven = ownMs !== undefined || remainingMs() < Number.POSITIVE_INFINITY;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onAbort = () => this.#aborted(request.signal.reason);
    service.callStarted();
    request.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  override start(): void {
    super.start();
    if (this.#request.signal.aborted && !this.isOver) this.#onAbort();
  }

  header(name: string): string | undefined {
    return this.#header(name);
  }

  protected canRepeatBody(): boolean {
    return true;
  }

  protected canRace(): boolean {
    return true;
  }

  protected isUnsent(attempt: Attempt): boolean {
    return this.#attempts.get(attempt)?.rpc.carried?.isUnsent !== false;
  }

  protected override isInLine(attempt: Attempt): boolean {
    return this.#attempts.get(attempt)?.rpc.carried?.isInLine === true;
  }

  protected send(attempt: Attempt): void {
    const rpc = new RpcAttempt(this.#service, attempt);
    const key = this.#service.announce(rpc);
    this.#attempts.set(attempt, { rpc, key });
    this.#ask(rpc, key).then(
      (response) => this.#returned(rpc, response),
      (error: unknown) => this.#threw(rpc, error),
    );
  }

  /** An interceptor need not be async, and may throw at once: from a timer, that would end the process. */
  #ask(rpc: RpcAttempt, key: string): Promise<Response> {
    try {
      const request = { ...this.#request, header: this.#headersFor(key), signal: rpc.controller.signal };
      return this.#inCallersContext(() => this.#next(request));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  protected stop(attempt: Attempt, error: Error): void {
    const under = this.#attempts.get(attempt);
    if (under === undefined) return;
    this.#service.withdraw(under.key);
    // Whatever the reason is, the stream ends as one that is no longer wanted.
    under.rpc.stop(connectError(error.message, Code.Canceled, error));
  }

  protected fail(error: Error): void {
    this.#reject(connectErrorOf(error));
  }

  protected released(): void {
    this.#request.signal.removeEventListener("abort", this.#onAbort);
    for (const { key } of this.#attempts.values()) this.#service.withdraw(key);
    this.#service.callEnded();
  }

  #aborted(reason: unknown): void {
    const error = asConnectError(reason, Code.Canceled);
    if (error.code === Code.DeadlineExceeded && this.endsAt < Number.POSITIVE_INFINITY) {
      this.expire(this.endsAt);
    } else {
      this.abort(error);
    }
  }

  #returned(rpc: RpcAttempt, response: Response): void {
    const { attempt, carried } = rpc;
    if (attempt.ended) return;
    if (carried === undefined) {
      this.cancel(
        new TypeError(`${this.cluster.name}: the interceptor needs the sessionManager of the same balancer`),
      );
      return;
    }
    attempt.statusCode = carried.status;
    // The transport reads an answer to its end.
    const outcome = carried.isRead ? success : this.#stoodIn(rpc);
    if (this.isOver) return;
    const isGood = outcome.kind === "success";
    this.answered(attempt, isGood, false);
    if (this.isOver) return;
    if (isGood) noteLoad(attempt.node, carried.headers, carried.trailers, this.cluster.clock.now());
    this.complete(outcome);
    this.#resolve(response);
  }

  /** An interceptor answered instead of the node, which failed or may still be at it. */
  #stoodIn(rpc: RpcAttempt): Outcome {
    const outcome = rpc.fault?.outcome ?? ignored("call", "answered by an interceptor");
    rpc.stop(connectError(outcome.detail, Code.Canceled, undefined));
    return outcome;
  }

  #threw(rpc: RpcAttempt, thrown: unknown): void {
    const { attempt } = rpc;
    if (attempt.ended) return;
    const error = asConnectError(thrown, Code.Internal);
    const fault = this.#faultOf(rpc, error);
    const outcome = fault?.outcome ?? this.#outcomeOf(rpc, error);
    // Whoever threw may have left the stream as it is, or an answer unread, and that keeps a place on the connection.
    rpc.stop(error);
    // Who listens to the attempt's signal may have ended the call.
    if (this.isOver) return;
    if (fault !== undefined) {
      this.attemptFailed(attempt, outcome, fault.error, fault.isUnprocessed);
      return;
    }
    attempt.statusCode = rpc.carried?.status ?? 0;
    if (
      this.#mayGoElsewhere(error, outcome) &&
      this.tryAgain(attempt, outcome, error, false, pushbackOf(error))
    )
      return;
    this.answered(attempt, outcome.kind === "success", false);
    if (this.isOver) return;
    this.complete(outcome);
    this.#reject(error);
  }

  /** Why the node gave no answer; undefined where it did. */
  #faultOf({ carried, fault }: RpcAttempt, error: ConnectError): StreamFault | undefined {
    if (fault !== undefined && carried?.gaveUp !== true) return fault;
    if (carried !== undefined && carried.status > 0) return undefined;
    // It failed on its way to the session manager, or the stream was given up, by the transport or an interceptor: the
    // node had no part in it.
    return { error, outcome: ignored("call", nameOfCode(error.code)), isUnprocessed: true };
  }

  /** gRPC gives the node's own code in its trailers; of Connect's and gRPC-Web's, in the body, the transport's error tells. */
  #outcomeOf({ attempt, carried }: RpcAttempt, error: ConnectError): Outcome {
    const code = grpcCodeOf(carried?.headers, carried?.trailers);
    // The transport's own limits (`readMaxBytes`) are not the node's fault.
    if (code === undefined && /readMaxBytes/.test(error.rawMessage))
      return ignored("call", "answer too large");
    const outcome = outcomeOfCode(code ?? error.code, this.hadItsChance(attempt));
    return madeGoodBelow(outcome, carried?.headers, carried?.trailers);
  }

  #mayGoElsewhere(error: ConnectError, outcome: Outcome): boolean {
    return error.code === Code.Unavailable && outcome.reason !== "dependency" && pushbackOf(error) >= 0;
  }

  #headersFor(key: string): Headers {
    const headers = new Headers(this.#request.header);
    headers.set(attemptHeader, key);
    // The time of calls that nobody gave one, `totalMs`, is for us to watch.
    const leftMs = this.#isTimeGiven ? this.endsAt - this.cluster.clock.now() : Number.POSITIVE_INFINITY;
    const timeout = timeoutHeader(this.#header, this.#ownMs, leftMs);
    if (timeout !== undefined) headers.set(timeout[0], timeout[1]);
    const added = this.addedHeaders;
    for (let index = 0; added !== undefined && index + 1 < added.length; index += 2) {
      headers.set(added[index] as string, added[index + 1] as string);
    }
    return headers;
  }
}

/** What the node asked for; 0 for nothing. */
function pushbackOf({ metadata }: ConnectError): number {
  const asked = Number(metadata.get(pushbackHeader) ?? 0);
  return Number.isNaN(asked) ? -1 : asked;
}
