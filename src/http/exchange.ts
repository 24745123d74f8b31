/**
 * One HTTP call: undici's callbacks on one side, the cluster's `Call` on the other.
 *
 * The caller's handler sees one request from start to end, whatever attempts are behind it: `onRequestStart` once
 * and at once, with the exchange itself as controller, so that an abort takes effect while the call still waits
 * or connects. Each attempt has its own observer, so that nothing an abandoned attempt reports is heard.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { type Dispatcher, errors } from "undici";
import type { ActiveCalls } from "../cluster/active-calls.ts";
import { Call } from "../cluster/call.ts";
import type { CallRules } from "../cluster/call-rules.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Attempt } from "../core/attempt.ts";
import type { Clock } from "../core/clock.ts";
import { BalancerError } from "../core/errors.ts";
import { isMadeGood } from "../core/layers.ts";
import { failure, ignored, success } from "../core/outcome.ts";
import { type AttemptListener, AttemptObserver } from "./attempt-observer.ts";
import {
  type AttemptFault,
  isOverloaded,
  isUnprocessed,
  mayNotBeRetried,
  outcomeOfFault,
  retryAfterMs,
} from "./classify.ts";
import { FallbackAnswer } from "./fallback-answer.ts";
import { findHeader, withAddedHeaders } from "./headers.ts";
import { isErrorOf, isWhole, keepBody, mayComeBack } from "./kept-body.ts";
import { noteLoad } from "./load-header.ts";
import type { Pools } from "./pools.ts";
import { bodyKind, type ReplayBody, type ReplayMemory } from "./replay.ts";

/** What a balancer lends to each of its exchanges. */
export interface ExchangeHost {
  readonly cluster: Cluster;
  readonly pools: Pools;
  readonly replayMemory: ReplayMemory;
  /** Exchanges without a deadline, which nothing else would find when the balancer is destroyed. */
  readonly endless: Set<Exchange>;
  readonly active: ActiveCalls;
}

type Options = Dispatcher.DispatchOptions;
type Handler = Dispatcher.DispatchHandler;
type Controller = Dispatcher.DispatchController;
type Headers = IncomingHttpHeaders;

export class Exchange extends Call implements Controller, AttemptListener {
  readonly #host: ExchangeHost;
  readonly #options: Options;
  readonly #handler: Handler;
  /** The URL was https: only https nodes may get the call. */
  readonly #secure: boolean;
  /** Of the attempt under way, or of the one that was answered. */
  #observer: AttemptObserver | undefined = undefined;
  /** Of a second one that is under way. */
  #rival: AttemptObserver | undefined = undefined;
  #fallback: FallbackAnswer | undefined = undefined;
  /** For the program's own function that makes a fallback. */
  #inCallersContext: (<R>(work: () => R) => R) | undefined = undefined;
  #body: ReplayBody | undefined = undefined;
  /** The connection that was handed over to the caller. */
  #socket: Duplex | undefined = undefined;
  #paused = false;
  #aborted = false;
  #reason: Error | null = null;
  /** What the pool of the first attempt said to `dispatch`: false means wait for "drain". */
  accepted = true;

  constructor(
    host: ExchangeHost,
    options: Options,
    handler: Handler,
    idempotent: boolean,
    secure: boolean,
    rules: CallRules,
  ) {
    super(host.cluster, options.method, options.path, idempotent, rules);
    this.#host = host;
    this.#options = options;
    this.#handler = handler;
    this.#secure = secure;
  }

  belongsTo(host: ExchangeHost): boolean {
    return this.#host === host;
  }

  /** Announces the call to its handler, and starts it unless the handler aborts it there and then. */
  begin(): void {
    const { body } = this.#options;
    // Before undici has the stream, nobody listens: its error would end the process.
    if (typeof body === "object" && body !== null && "pipe" in body && typeof body.on === "function") {
      body.on("error", (error: Error) => this.cancel(error));
    }
    if (typeof this.cluster.options.fallback === "function") {
      this.#inCallersContext = AsyncLocalStorage.snapshot();
    }
    try {
      this.#handler.onRequestStart?.(this, null);
    } catch (error) {
      this.abort(error as Error);
    }
    if (this.#aborted) {
      this.released();
      this.fail(this.#reason ?? new errors.RequestAbortedError());
    } else {
      this.start();
    }
  }

  // The controller that the caller's handler is given.

  get aborted(): boolean {
    return this.#aborted;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get reason(): Error | null {
    return this.#reason;
  }

  get rawHeaders(): Controller["rawHeaders"] {
    return this.#fallback?.rawHeaders ?? this.#observer?.controller?.rawHeaders ?? null;
  }

  get rawTrailers(): Controller["rawTrailers"] {
    return this.#observer?.controller?.rawTrailers ?? null;
  }

  pause(): void {
    this.#paused = true;
    this.#observer?.controller?.pause();
    this.#rival?.controller?.pause();
  }

  resume(): void {
    this.#paused = false;
    // From here on it is the node that is waited for.
    this.bodyHeard();
    this.#observer?.controller?.resume();
    this.#rival?.controller?.resume();
    this.#fallback?.resume();
  }

  override abort(reason: Error): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    const error = reason ?? new errors.RequestAbortedError();
    this.#fallback?.abort(error);
    super.abort(error);
  }

  // What the call asks of its transport.

  override header(name: string): string | undefined {
    return findHeader(this.#options.headers, name);
  }

  protected override canRepeatBody(): boolean {
    return this.#body === undefined ? bodyKind(this.#options.body) !== "once" : this.#body.canRepeat;
  }

  protected override canRace(): boolean {
    const { body, upgrade } = this.#options;
    return bodyKind(body) !== "once" && !upgrade && this.#options.method !== "CONNECT";
  }

  protected override repeating(): void {
    this.#body?.rewind();
  }

  protected override isUnsent(attempt: Attempt): boolean {
    return this.#observerOf(attempt)?.controller === undefined;
  }

  protected override bodyIdleError(message: string): Error {
    return new errors.BodyTimeoutError(`${this.cluster.name}: ${message}`);
  }

  protected override isBodyPaused(): boolean {
    return this.#paused;
  }

  protected override isInLine(attempt: Attempt): boolean {
    return this.#observerOf(attempt)?.isInLine === true;
  }

  protected override get mayBeEndless(): boolean {
    const { upgrade, method } = this.#options;
    if (upgrade || method === "CONNECT") return true;
    return this.header("accept")?.startsWith("text/event-stream") === true;
  }

  protected override get hasFallback(): boolean {
    return this.cluster.options.fallback !== undefined;
  }

  /** Undefined for an attempt that was not sent. */
  #observerOf(attempt: Attempt): AttemptObserver | undefined {
    if (this.#rival?.attempt === attempt) return this.#rival;
    return this.#observer?.attempt === attempt ? this.#observer : undefined;
  }

  protected override send(attempt: Attempt): void {
    const { address } = attempt.node.endpoint;
    if (this.#secure && address.scheme !== "https") {
      const message = `an https: URL cannot be sent to ${address.text}, which is not encrypted`;
      this.cancel(new BalancerError("ERR_CONFIG", this.cluster.name, message));
      return;
    }
    const observer = new AttemptObserver(attempt, this);
    if (attempt.isHedge) this.#rival = observer;
    else this.#observer = observer;
    try {
      const accepted = this.#host.pools.get(attempt.node).dispatch(this.#optionsFor(attempt), observer);
      if (attempt.number === 1) this.accepted = accepted;
    } catch (error) {
      // undici's pools tell the observer. This is the program's own `connections.factory`, or a mock.
      observer.failed(error as Error, "handler");
    }
    observer.dispatched = true;
  }

  protected override stop(attempt: Attempt, error: Error): void {
    this.#observerOf(attempt)?.abandon(
      error,
      error instanceof BalancerError && error.code === "ERR_DEADLINE",
    );
    this.#socket?.destroy();
  }

  protected override fail(error: Error): void {
    // The caller has the connection: its end is all that there is to tell.
    if (this.#socket !== undefined) return;
    const { fallback } = this.cluster.options;
    // Whoever gave the call up wants nothing in its place, whatever error he gave as his reason.
    if (fallback === undefined || this.wasAnswered || this.#aborted || !isMadeGood(error)) {
      this.#tell(error);
      return;
    }
    const { method, path } = this;
    this.#fallback = new FallbackAnswer(this.#handler, this, (failure) => {
      if (!this.#aborted) this.noteFailure();
      this.#tell(failure);
    });
    const ask = () => this.#fallback?.deliver(fallback, { service: this.cluster.name, method, path, error });
    // Whoever made the call fail runs in another context than its caller.
    void (this.#inCallersContext?.(ask) ?? ask());
  }

  #tell(error: Error): void {
    try {
      this.#handler.onResponseError?.(this, error);
    } catch (thrown) {
      // Nobody is left to tell; whatever called us must not be the one that stumbles.
      queueMicrotask(() => {
        throw thrown;
      });
    }
  }

  protected override released(): void {
    this.#body?.dispose();
    if (this.#host.endless.size > 0) this.#host.endless.delete(this);
    this.#host.active.ended();
  }

  /** The caller's options as they are, unless the node is https or the body must not reach undici twice. */
  #optionsFor(attempt: Attempt): Options {
    const { node } = attempt;
    const { addedHeaders } = this;
    const options =
      addedHeaders === undefined ? this.#options : withAddedHeaders(this.#options, addedHeaders);
    if (node.endpoint.address.scheme !== "https") return this.#withBody(options, attempt);
    // Without it undici makes a new connection whenever a call's own Host header is another one (undici.md).
    const secured = { ...options, servername: this.#host.pools.servernameOf(node) };
    return this.#withBody(secured, attempt);
  }

  #withBody(options: Options, attempt: Attempt): Options {
    if (this.#body === undefined) {
      const { body } = options;
      if (attempt.number > 1 || bodyKind(body) !== "once") return options;
      const isKept = this.canRepeat || mayComeBack(this.cluster.options.connections, attempt.node);
      this.#body = keepBody(body as object, isKept, this.#host.replayMemory);
      if (this.#body === undefined) return options;
    }
    return { ...options, body: this.#body.read() as unknown as Options["body"] };
  }

  // What the observer of the present attempt uses and reports.

  get clock(): Clock {
    return this.cluster.clock;
  }

  started(_observer: AttemptObserver, controller: Controller): void {
    if (this.#paused) controller.pause();
  }

  informed(status: number, headers: Headers, message: string | undefined): void {
    this.#handler.onResponseStart?.(this, status, headers, message);
  }

  /** False when what follows is not wanted, because the call goes on elsewhere or has a fallback. */
  responded(
    observer: AttemptObserver,
    status: number,
    headers: Headers,
    message: string | undefined,
  ): boolean {
    const attempt = observer.attempt as Attempt;
    if (observer.outcome.kind === "success") noteLoad(attempt.node, headers, this.clock);
    if (observer.outcome.kind === "failure") {
      if (mayNotBeRetried(headers)) observer.outcome = failure("dependency", String(status));
      else if (isOverloaded(status, headers)) observer.outcome = failure("overloaded", String(status));
    }
    if (observer.outcome.reason !== "dependency" && this.rules.retry.statuses.has(status)) {
      const waitMs = retryAfterMs(headers["retry-after"], Date.now());
      const { outcome } = observer;
      const retried = outcome.kind === "success" ? failure("status", String(status)) : outcome;
      if (this.tryAgain(attempt, retried, undefined, false, waitMs)) return false;
    }
    if (this.rules.retry.statuses.has(status) && this.hasFallback) {
      this.endFailed(attempt, observer.outcome, new Error(`the answer was ${status}`));
      return false;
    }
    const isEventStream = String(headers["content-type"] ?? "").startsWith("text/event-stream");
    if (isEventStream) this.#host.endless.add(this);
    const isGood = observer.outcome.kind === "success";
    this.answered(attempt, isGood, isEventStream, this.cluster.options.timeouts.bodyIdleMs);
    // Whoever listens to events may have ended the call, and its handler has heard of that.
    if (this.isOver) return true;
    this.#isAnsweredBy(observer);
    this.#handler.onResponseStart?.(this, status, headers, message);
    return true;
  }

  #isAnsweredBy(observer: AttemptObserver): void {
    this.#observer = observer;
    this.#rival = undefined;
  }

  received(chunk: Buffer): void {
    this.bodyHeard();
    this.#handler.onResponseData?.(this, chunk);
  }

  ended(observer: AttemptObserver, trailers: IncomingHttpHeaders): void {
    if (this.complete(observer.outcome)) {
      try {
        this.#handler.onResponseEnd?.(this, trailers);
      } catch (error) {
        // As undici does it.
        this.fail(error as Error);
      }
    }
    // undici's body streams hold on to their controller, and outlive the call by far: they must not hold it all.
    this.#observer = undefined;
    this.attempt = undefined;
  }

  upgraded(observer: AttemptObserver, status: number, headers: Headers, socket: Duplex): void {
    const attempt = observer.attempt as Attempt;
    this.answered(attempt, true, true);
    if (this.isOver) {
      socket.destroy();
      return;
    }
    this.#isAnsweredBy(observer);
    socket.once("close", () => this.complete(success));
    this.#host.endless.add(this);
    try {
      this.#handler.onRequestUpgrade?.(this, status, headers, socket);
    } catch (error) {
      this.attemptFailed(attempt, ignored("call", "the handler threw"), error as Error, false);
    }
    // The handler may have given the call up.
    if (this.isOver) socket.destroy();
    else this.#socket = socket;
  }

  errored(observer: AttemptObserver, error: Error, fault: AttemptFault): void {
    const { body } = this.#options;
    const isOfBody = fault !== "handler" && isErrorOf(body, this.#body, error);
    const outcome = isOfBody ? ignored("call", "the request body threw") : outcomeOfFault(error, fault);
    // A dispatcher of the program's own may read the body before it says that the request starts.
    const isUnsent = isUnprocessed(fault) && isWhole(body, this.#body);
    this.attemptFailed(observer.attempt as Attempt, outcome, error, isUnsent);
    // Of two, the other one goes on.
    if (observer === this.#observer && this.#rival !== undefined) this.#isAnsweredBy(this.#rival);
    else if (observer === this.#rival) this.#rival = undefined;
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
}
