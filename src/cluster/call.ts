/**
 * One call, from admission to its end, whatever the transport: waits for nodes, picks, attempts, tries again.
 *
 * A transport extends `Call` with how to send one attempt, how to stop it and how to tell the caller that the
 * call failed, and reports what it sees. Everything that decides is here or in what this calls; the transport
 * keeps no rules of its own.
 *
 * A call is its own deadline entry and its own `CallInfo`: the hot path makes one object for all of it.
 */
import type { Attempt } from "../core/attempt.ts";
import type { CallInfo, CallPriority } from "../core/contracts.ts";
import type { Deadline } from "../core/deadlines.ts";
import { BalancerError, type BalancerErrorCode, describeError } from "../core/errors.ts";
import { attemptEnds, attemptStarts, callEnds, callStarts, rejects, retries } from "../core/events.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { retryDelayMs } from "../resilience/retry.ts";
import type { CallRules } from "./call-rules.ts";
import type { Cluster } from "./cluster.ts";

const noNodes: readonly Node[] = Object.freeze([]);

/**
 * Of an attempt that the call's deadline cut short: the share of the whole time from which on it counts against
 * the node. An attempt that began late, after others had used the time up, was given no fair chance.
 */
const fairShare = 0.5;

/** A timer as late as this tells of a blocked event loop. */
const blockedFromMs = 50;

type Phase =
  /** Waiting for discovery's first answer. */
  | "discovery"
  /** An attempt is under way, up to its final headers. */
  | "attempt"
  /** Waiting before the next attempt. */
  | "backoff"
  /** The caller has headers; nothing can be tried again. */
  | "body"
  | "over";

export abstract class Call implements CallInfo, Deadline {
  readonly method: string;
  readonly path: string;
  readonly rules: CallRules;
  dueAt = 0;
  heapIndex = -1;

  protected readonly cluster: Cluster;
  protected attempt: Attempt | undefined = undefined;
  /** Headers that listeners gave the present attempt: names and values in turn. Transports send them with it. */
  protected addedHeaders: string[] | undefined = undefined;
  readonly #idempotent: boolean;
  #endsAt = Number.POSITIVE_INFINITY;
  #answeredAt = 0;
  #bodyIdleMs = Number.POSITIVE_INFINITY;
  /** When the latest piece of the body came. */
  #heardAt = 0;
  #phase: Phase = "over";
  #tried: Node[] | undefined = undefined;
  #attempts = 0;
  /** What each failed attempt met, for the error's message. */
  #history: string[] | undefined = undefined;
  #lastError: unknown = undefined;

  /**
   * @param idempotent whether the call may run twice.
   * @param rules shared by many calls; one object for each would be garbage at once.
   */
  constructor(cluster: Cluster, method: string, path: string, idempotent: boolean, rules: CallRules) {
    this.cluster = cluster;
    this.method = method;
    this.path = path;
    this.rules = rules;
    this.#idempotent = idempotent;
  }

  abstract header(name: string): string | undefined;

  /** Whether the body can be sent once more. Asked only after an attempt failed. */
  protected abstract canRepeatBody(): boolean;
  /** The attempt failed and another one will follow, now or later. */
  protected repeating(): void {}
  /** Sends the call to `attempt.node`. May report its end before it returns. */
  protected abstract send(attempt: Attempt): void;
  /** Whether nothing of the attempt has reached its node. */
  protected abstract isUnsent(attempt: Attempt): boolean;
  /** Whether the attempt waits for one of its node's connections, all of which are in use. */
  protected isInLine(_attempt: Attempt): boolean {
    return false;
  }
  /** Abandons the attempt under way: aborts it, and reports nothing more of it. */
  protected abstract stop(attempt: Attempt, error: Error): void;
  /** Tells the caller that the call failed. Called at most once, and nothing is called after it. */
  protected abstract fail(error: Error): void;
  /** The call is over, well or not. Called exactly once for each started call. */
  protected abstract released(): void;

  get hashKey(): string | undefined {
    return this.rules.hashKey;
  }

  get priority(): CallPriority {
    return this.rules.priority;
  }

  get tried(): readonly Node[] {
    return this.#tried ?? noNodes;
  }

  get isOver(): boolean {
    return this.#phase === "over";
  }

  /** Whether a failure of the next attempt could be made good by another: such calls go on trial first. */
  get canRetry(): boolean {
    const { cluster } = this;
    return (
      this.#idempotent &&
      this.#attempts + 1 < this.rules.retry.attempts &&
      cluster.hasRetryLeft(cluster.clock.now())
    );
  }

  /** Whether the attempt under way could be made good by another, once sent. */
  protected get canRepeat(): boolean {
    return this.#idempotent && this.#attempts < this.rules.retry.attempts;
  }

  /** Admits the call and makes its first attempt. */
  start(): void {
    const { cluster } = this;
    const now = cluster.clock.now();
    this.#endsAt = now + this.rules.totalMs;
    this.#phase = "attempt";
    cluster.callStarted(now);
    if (callStarts.hasSubscribers) {
      callStarts.publish({ service: cluster.name, method: this.method, path: this.path, call: this });
      // Whoever listens may have ended the call.
      if (this.isOver) return;
    }
    if (cluster.closed) {
      this.#reject("ERR_CLOSED", "the cluster is closed");
    } else if (cluster.awaitsDiscovery) {
      this.#phase = "discovery";
      cluster.waiting.add(this);
      this.#wakeAt(Math.min(this.#endsAt, now + cluster.options.timeouts.connectMs));
    } else {
      this.#next(now);
    }
  }

  /** Discovery gave its first answer. */
  discovered(now: number): void {
    if (this.#phase !== "discovery") return;
    this.cluster.deadlines.remove(this);
    this.#phase = "attempt";
    this.#next(now);
  }

  /** The caller gives the call up. */
  abort(reason: Error): void {
    this.#giveUp(ignored("aborted", describeError(reason)), reason);
  }

  /** The cluster or transport ends the call from its side. */
  cancel(error: Error): void {
    this.#giveUp(ignored("call", describeError(error)), error);
  }

  expire(now: number): void {
    if (this.#phase === "over") return;
    if (now >= this.#endsAt) {
      this.#expireTotal(now);
    } else if (this.#phase === "discovery") {
      this.cluster.waiting.delete(this);
      this.#reject(
        "ERR_NO_NODE",
        `discovery named no node within ${this.cluster.options.timeouts.connectMs} ms`,
      );
    } else if (this.#phase === "backoff") {
      this.#phase = "attempt";
      this.#next(now);
    } else if (this.#phase === "attempt") {
      this.#expireAttempt(now);
    } else {
      this.#expireBody(now);
    }
  }

  /**
   * The final headers go to the caller: from here on nothing is tried again.
   *
   * @param endless the answer has no natural end (event stream, upgrade): no total deadline applies.
   * @param bodyIdleMs the longest wait between two pieces of the body.
   */
  protected answered(good: boolean, endless: boolean, bodyIdleMs: number = Number.POSITIVE_INFINITY): void {
    const attempt = this.attempt as Attempt;
    this.#phase = "body";
    if (endless) this.#endsAt = Number.POSITIVE_INFINITY;
    this.#answeredAt = this.cluster.clock.now();
    this.#bodyIdleMs = bodyIdleMs;
    this.#heardAt = this.#answeredAt;
    // Else the heap entry stays where it is: when it fires early, `expire` moves it.
    if (this.heapIndex < 0 || this.#answeredAt + bodyIdleMs < this.dueAt) {
      this.#wakeAt(Math.min(this.#endsAt, this.#answeredAt + bodyIdleMs));
    }
    this.cluster.answered(attempt, good, this.#answeredAt);
  }

  /** A piece of the body came. */
  protected bodyHeard(): void {
    this.#heardAt = this.cluster.clock.now();
  }

  /** What the caller is told when the body stood still for too long. */
  protected bodyIdleError(message: string): Error {
    return this.#error("ERR_DEADLINE", message);
  }

  /** Whether the caller does not want more of the body just now. */
  protected isBodyPaused(): boolean {
    return false;
  }

  /** The whole answer is here, or the connection was handed over and is closed. */
  protected complete(outcome: Outcome): void {
    if (this.#phase === "over") return;
    // What the averages take from an answer was known at its headers: no need to ask the clock once more. A failure
    // may take the node out, and that begins now.
    this.#endAttempt(outcome, outcome.kind === "failure" ? this.cluster.clock.now() : this.#answeredAt);
    this.#finish(outcome.kind);
  }

  /**
   * The attempt failed; true if the call goes on with another one, and the attempt is over. When false, the
   * attempt is still the call's, for an answer that is delivered as it is.
   */
  protected tryAgain(outcome: Outcome, error: unknown, unsent: boolean, retryAfterMs: number): boolean {
    const { cluster } = this;
    const attempt = this.attempt;
    if (attempt === undefined || this.#phase !== "attempt" || cluster.destroyed) return false;
    const now = cluster.clock.now();
    const delayMs = retryDelayMs(
      {
        outcome,
        number: this.#attempts,
        unsent,
        repeatable: this.#idempotent && this.canRepeatBody(),
        retryAfterMs: retryAfterMs > 0 && this.#othersLeft(attempt.node) ? 0 : retryAfterMs,
        remainingMs: this.#endsAt - now,
      },
      this.rules.retry,
      cluster.options.random,
    );
    // The budget guards the nodes; an attempt that ended by our own shortage has reached none.
    const isFree = outcome.reason === "shortage" || outcome.reason === "busy";
    if (delayMs === undefined || (!isFree && !cluster.withdrawRetry(now))) return false;
    this.#remember(attempt.node, outcome, error);
    this.#endAttempt(outcome, now);
    if (retries.hasSubscribers) {
      retries.publish({
        service: cluster.name,
        address: attempt.node.key,
        attempt: this.#attempts + 1,
        delayMs,
        reason: outcome.reason,
        detail: outcome.detail,
      });
    }
    // Whoever listens to the events may have ended the call.
    if (this.isOver) return true;
    cluster.deadlines.remove(this);
    this.repeating();
    if (delayMs === 0) {
      this.#next(now);
    } else {
      this.#phase = "backoff";
      this.#wakeAt(Math.min(this.#endsAt, now + delayMs));
    }
    return true;
  }

  /** The attempt ended without an answer that could be delivered: another one, or the end. */
  protected attemptFailed(outcome: Outcome, error: Error, unsent: boolean): void {
    if (this.#phase === "over" || this.tryAgain(outcome, error, unsent, 0)) return;
    const { attempt } = this;
    const headersDelivered = this.#phase === "body";
    this.#endAttempt(outcome, this.cluster.clock.now());
    if (
      outcome.reason === "call" ||
      outcome.reason === "aborted" ||
      headersDelivered ||
      attempt === undefined
    ) {
      if (this.#finish(outcome.kind)) this.fail(error);
      return;
    }
    this.#remember(attempt.node, outcome, error);
    const code = error instanceof BalancerError ? error.code : "ERR_NO_NODE";
    this.#failWith(code, this.#describe("no node gave an answer"));
  }

  #next(now: number): void {
    const { cluster } = this;
    const node = this.#pick(now);
    if (node === undefined) {
      this.#reject("ERR_NO_NODE", this.#describe(cluster.describeNoNode()));
      return;
    }
    const attempt = cluster.begin(node, ++this.#attempts, now);
    this.attempt = attempt;
    this.addedHeaders = undefined;
    this.#wakeAt(Math.min(this.#endsAt, now + this.rules.attemptMs));
    if (attemptStarts.hasSubscribers) {
      attemptStarts.publish({
        service: cluster.name,
        address: node.key,
        method: this.method,
        path: this.path,
        attempt: attempt.number,
        call: this,
        addHeader: (name: string, value: string) => this.#addHeader(attempt, name, value),
      });
      // Whoever listens may have ended the call.
      if (this.isOver) return;
    }
    this.send(attempt);
  }

  #addHeader(attempt: Attempt, name: string, value: string): void {
    if (this.attempt !== attempt) return;
    this.addedHeaders ??= [];
    this.addedHeaders.push(name, value);
  }

  /** A node that this call has not tried; when it has tried all, any. */
  #pick(now: number): Node | undefined {
    const node = this.cluster.nodeSet.pick(this, now);
    if (node !== undefined || this.#tried === undefined) return node;
    this.#tried = undefined;
    return this.cluster.nodeSet.pick(this, now);
  }

  /** Whether a node may be called that this call has not tried, other than the one that it tries now. */
  #othersLeft(present: Node): boolean {
    return this.cluster.nodeSet.callable.some((node) => node !== present && !this.tried.includes(node));
  }

  #expireAttempt(now: number): void {
    const attempt = this.attempt as Attempt;
    const elapsedMs = attempt.elapsedMs(now, this.cluster.lag.blockedMs(now));
    // While this process was blocked it could not have read an answer; the node gets that time back.
    if (elapsedMs < this.rules.attemptMs - 1) {
      this.#wakeAt(Math.min(this.#endsAt, now + Math.max(1, this.rules.attemptMs - elapsedMs)));
      return;
    }
    const within = `within ${this.rules.attemptMs} ms`;
    const isInLine = this.isInLine(attempt);
    const error = isInLine
      ? this.#error("ERR_OVERLOADED", `${attempt.node.key} had no connection free ${within}`)
      : this.#error("ERR_DEADLINE", `${attempt.node.key} gave no answer ${within}`);
    const outcome = isInLine
      ? ignored("busy", "no free connection")
      : failure("timeout", `no answer ${within}`);
    const unsent = this.isUnsent(attempt);
    this.stop(attempt, error);
    this.attemptFailed(outcome, error, unsent);
  }

  #error(code: BalancerErrorCode, message: string): BalancerError {
    return new BalancerError(code, this.cluster.name, message);
  }

  #expireBody(now: number): void {
    const lateMs = now - this.dueAt;
    // While the caller holds it up, or this process stood still, the node could send or we could read nothing.
    const isExcused = this.isBodyPaused() || lateMs > blockedFromMs;
    const idleAt = (isExcused ? Math.max(this.#heardAt, now - lateMs) : this.#heardAt) + this.#bodyIdleMs;
    if (isExcused || now < idleAt) {
      this.#wakeAt(Math.min(this.#endsAt, Math.max(now + 1, idleAt)));
      return;
    }
    const message = `the body stood still for ${this.#bodyIdleMs} ms`;
    this.#giveUp(failure("timeout", "body timeout"), this.bodyIdleError(this.#describe(message)));
  }

  #expireTotal(now: number): void {
    const { attempt } = this;
    const waited = this.#phase === "discovery";
    if (waited) this.cluster.waiting.delete(this);
    let outcome: Outcome = ignored("deadline", "the call's time ran out");
    if (attempt !== undefined && !attempt.ended) {
      const waitedMs = attempt.waitedMs(now, this.cluster.lag.blockedMs(now));
      const hadItsChance = waitedMs >= fairShare * this.rules.totalMs && !this.isInLine(attempt);
      if (this.#phase === "attempt" && hadItsChance) {
        outcome = failure("timeout", `no answer within ${Math.round(waitedMs)} ms`);
      }
      this.#remember(attempt.node, outcome, undefined);
    }
    const what = this.#phase === "body" ? "the response was not whole" : "no answer";
    const missing = waited ? "discovery named no node" : what;
    const message = this.#describe(`${missing} within ${this.rules.totalMs} ms`);
    this.#giveUp(outcome, new BalancerError("ERR_DEADLINE", this.cluster.name, message, this.#lastError));
  }

  #giveUp(outcome: Outcome, error: Error): void {
    if (this.#phase === "over") return;
    const { attempt } = this;
    if (attempt !== undefined && !attempt.ended) this.stop(attempt, error);
    this.cluster.waiting.delete(this);
    this.#endAttempt(outcome, this.cluster.clock.now());
    const isCallers = outcome.reason === "aborted" || outcome.reason === "call";
    if (this.#finish(isCallers ? "ignored" : "failure")) this.fail(error);
  }

  #endAttempt(outcome: Outcome, now: number): void {
    const { attempt, cluster } = this;
    if (attempt === undefined || attempt.ended) return;
    cluster.settle(attempt, outcome, now);
    if (attemptEnds.hasSubscribers) {
      attemptEnds.publish({
        service: cluster.name,
        address: attempt.node.key,
        method: this.method,
        path: this.path,
        attempt: attempt.number,
        call: this,
        outcome: outcome.kind,
        reason: outcome.reason,
        detail: outcome.detail,
        statusCode: attempt.statusCode,
        latencyMs: attempt.latencyMs,
        durationMs: cluster.clock.now() - attempt.startedAt,
      });
    }
  }

  /** Ends the call before anything was sent for it. */
  #reject(code: BalancerErrorCode, message: string): void {
    if (rejects.hasSubscribers) rejects.publish({ service: this.cluster.name, code, message });
    this.#failWith(code, message);
  }

  #failWith(code: BalancerErrorCode, message: string): void {
    if (this.#finish("failure"))
      this.fail(new BalancerError(code, this.cluster.name, message, this.#lastError));
  }

  /** False if the call is over already: stopping an attempt and publishing events run code that may end the call. */
  #finish(outcome: Outcome["kind"]): boolean {
    if (this.#phase === "over") return false;
    this.#phase = "over";
    this.cluster.deadlines.remove(this);
    this.cluster.callEnded();
    this.released();
    if (callEnds.hasSubscribers) {
      callEnds.publish({
        service: this.cluster.name,
        method: this.method,
        path: this.path,
        call: this,
        outcome,
        attempts: this.#attempts,
      });
    }
    return true;
  }

  #wakeAt(at: number): void {
    this.cluster.deadlines.remove(this);
    if (at === Number.POSITIVE_INFINITY) return;
    this.dueAt = at;
    this.cluster.deadlines.add(this);
  }

  #remember(node: Node, outcome: Outcome, error: unknown): void {
    if (outcome.reason !== "shortage") {
      this.#tried ??= [];
      if (!this.#tried.includes(node)) this.#tried.push(node);
    }
    this.#history ??= [];
    this.#history.push(`${node.key} ${outcome.detail || outcome.reason}`);
    if (error !== undefined) this.#lastError = error;
  }

  #describe(what: string): string {
    const call = `${this.method} ${this.path}`.slice(0, 200);
    const history = this.#history;
    if (history === undefined) return `${call}: ${what}`;
    const attempts = history.length === 1 ? "1 attempt" : `${history.length} attempts`;
    return `${call}: ${what} in ${attempts}: ${history.join("; ")}`;
  }
}
