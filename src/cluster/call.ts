/**
 * One call, from admission to its end, whatever the transport: waits for nodes, picks, attempts, tries again.
 *
 * A transport extends `Call` with how to send one attempt, how to stop it and how to tell the caller that the
 * call failed, and reports what it sees. Everything that decides is here or in what this calls; the transport
 * keeps no rules of its own.
 *
 * A call is its own deadline entry and its own `CallInfo`: the hot path makes one object for all of it.
 */
import { AsyncResource } from "node:async_hooks";
import type { Attempt } from "../core/attempt.ts";
import type { CallInfo, CallPriority } from "../core/contracts.ts";
import type { Deadline } from "../core/deadlines.ts";
import { BalancerError, type BalancerErrorCode, describeError } from "../core/errors.ts";
import { attemptEnds, attemptStarts, callEnds, callStarts, rejects, retries } from "../core/events.ts";
import { priorityHeader } from "../core/layers.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { type CallContext, currentContext } from "../resilience/call-context.ts";
import { deadlineHeaderValue } from "../resilience/deadline-header.ts";
import { retryDelayMs } from "../resilience/retry.ts";
import type { Refusal } from "./admission.ts";
import { CallRecord } from "./call-record.ts";
import type { CallRules } from "./call-rules.ts";
import type { Cluster } from "./cluster.ts";

const noNodes: readonly Node[] = Object.freeze([]);

/** Nothing went out for the call. */
const unsent: Outcome = ignored("unsent", "not sent");

/** What an attempt is stopped with whose hedge, or which as a hedge, came too late. */
const overtaken = new Error("another attempt of the same call was answered first");
const overtakenOutcome: Outcome = ignored("hedged", overtaken.message);
/** The same on a node half open. It had its try: if that said nothing, a node that hangs would get one try after another. */
const overtakenTrial: Outcome = failure("timeout", "slower than another node that was asked later");
const outOfTime: Outcome = ignored("deadline", "the call's time ran out");

/**
 * Of an attempt that the call's deadline cut short: the share of the whole time from which on it counts against
 * the node. An attempt that began late, after others had used the time up, was given no fair chance.
 */
const fairShare = 0.5;

/** And, where the deadline is inherited, how many times what the node usually takes it has to have had. */
const usualTimes = 2;

/** A timer as late as this tells of a blocked event loop. */
const blockedFromMs = 50;

type Phase =
  /** Waiting for a place among the calls that may be under way, or for a rate limit that is shared. */
  | "admission"
  /** Waiting for discovery's first answer. */
  | "discovery"
  /** An attempt is under way, up to its final headers; or two, when it is hedged. */
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
  /** The attempt under way, or of two the one that began first; from the headers on the one that was answered. */
  protected attempt: Attempt | undefined = undefined;
  /** The hedge, while both are under way. */
  #rival: Attempt | undefined = undefined;
  /** Headers that listeners gave the present attempt: names and values in turn. Transports send them with it. */
  protected addedHeaders: string[] | undefined = undefined;
  readonly #idempotent: boolean;
  #startedAt = 0;
  #endsAt = Number.POSITIVE_INFINITY;
  #hedgeAt = Number.POSITIVE_INFINITY;
  #admittedAt = 0;
  /** It counts among the calls that limits and breaker watch. */
  #isCounted = false;
  #ticket: number | undefined = undefined;
  #isEndless = false;
  #resource: AsyncResource | undefined = undefined;
  #context: CallContext | undefined = undefined;
  #onContextAbort: (() => void) | undefined = undefined;
  #answeredAt = 0;
  #bodyIdleMs = Number.POSITIVE_INFINITY;
  /** When the latest piece of the body came. */
  #heardAt = 0;
  #phase: Phase = "over";
  #attempts = 0;
  /** Attempts that their nodes did not process, as the connection was being closed. */
  #passedOver = 0;
  /** Retries and hedges that were withdrawn from the ledger and are not over. */
  #extras = 0;
  /** Made when the first attempt fails or is hedged. */
  #record: CallRecord | undefined = undefined;

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
  /** Whether the call can be sent a second time while it is under way. */
  protected abstract canRace(): boolean;
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
    const { priority } = this.rules;
    return priority === "default" ? (this.#context?.priority ?? priority) : priority;
  }

  get tried(): readonly Node[] {
    return this.#record?.tried ?? noNodes;
  }

  /** When the call must be over; `Infinity` for never. */
  get endsAt(): number {
    return this.#endsAt;
  }

  get isOver(): boolean {
    return this.#phase === "over";
  }

  /**
   * Whether it waits to be let through. When all calls are to end, those end first: the others make room, and none should
   * be sent only to be cancelled.
   */
  get isKept(): boolean {
    return this.#phase === "admission";
  }

  /**
   * Whether a failure of the next attempt could be made good by another: such calls go on trial first. A hedge does not:
   * it is to save a call that is slow already.
   */
  get canRetry(): boolean {
    const { cluster } = this;
    return (
      this.#idempotent &&
      this.attempt?.ended !== false &&
      this.#attempts + 1 < this.rules.retry.attempts &&
      cluster.hasRetryLeft(cluster.clock.now())
    );
  }

  /** Whether there may be another attempt beside or after the one under way, once that is sent. */
  protected get canRepeat(): boolean {
    return this.#idempotent && this.#attempts < this.rules.retry.attempts;
  }

  /** Whether the caller was given headers. */
  protected get wasAnswered(): boolean {
    return this.#answeredAt > 0;
  }

  /** Admits the call and makes its first attempt. */
  start(): void {
    const { cluster } = this;
    const now = cluster.clock.now();
    this.#startedAt = now;
    this.#endsAt = now + this.rules.totalMs;
    this.#phase = "admission";
    const context = currentContext();
    if (context !== undefined) this.#inherit(context, now);
    cluster.callStarted();
    if (callStarts.hasSubscribers) {
      callStarts.publish({ service: cluster.name, method: this.method, path: this.path, call: this });
      // Whoever listens may have ended the call.
      if (this.isOver) return;
    }
    if (cluster.closed) {
      this.#reject("ERR_CLOSED", "the cluster is closed");
    } else if (this.#endsAt <= now) {
      // Before the handler's signal, which tells of the end of its time as well.
      this.#reject("ERR_DEADLINE", this.#describe("the time that it inherited was over before it began"));
    } else if (context?.signal?.aborted === true) {
      this.abort(context.signal.reason);
    } else if (cluster.admission === undefined) {
      this.admitted(now);
    } else {
      const dueAt = cluster.admission.admit(this, now);
      if (this.#phase !== "admission") return;
      // Whoever makes room runs in another call's asynchronous context.
      this.#resource = new AsyncResource("EVENKEEL_WAITING_CALL");
      this.#wakeAt(Math.min(this.#endsAt, dueAt));
    }
  }

  /** Whether an answer without a natural end is asked for, for which the call's own deadline will be lifted. */
  protected get mayBeEndless(): boolean {
    return false;
  }

  /** Whether the caller may get something else when the call fails; when he does not after all, see `noteFailure`. */
  protected get hasFallback(): boolean {
    return false;
  }

  /** Nothing stands against the call: it goes to a node as soon as there is one. */
  admitted(now: number, ticket = 0): void {
    const { cluster } = this;
    this.#admittedAt = now;
    this.#isCounted = true;
    this.#ticket = ticket;
    cluster.callAdmitted(now);
    if (this.#resource === undefined) this.#proceed(now);
    else this.#resource.runInAsyncScope(() => this.#proceed(now));
  }

  #proceed(now: number): void {
    const { cluster } = this;
    if (cluster.awaitsDiscovery) {
      this.#phase = "discovery";
      cluster.waiting.add(this);
      this.#wakeAt(Math.min(this.#endsAt, now + cluster.options.timeouts.connectMs));
    } else {
      this.#phase = "attempt";
      this.#next(now);
    }
  }

  /** Limits or breaker will not have it. */
  refused({ code, message }: Refusal): void {
    const now = this.cluster.clock.now();
    if (now >= this.#endsAt) this.#expireTotal(now);
    else this.#reject(code, this.#describe(message));
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
    } else if (this.#phase === "admission") {
      this.cluster.admission?.expired(this);
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
      if (now >= this.#hedgeAt) this.#hedge(now);
      // A hedge may end at once, and have ended the call or left it waiting for its next attempt.
      if (this.#phase === "attempt") this.#expireAttempts(now);
    } else {
      this.#expireBody(now);
    }
  }

  /**
   * The final headers of this attempt go to the caller: from here on nothing is tried again, and a second attempt that
   * is under way is stopped. Events are published meanwhile, and whoever listens may end the call: see `isOver`.
   *
   * @param endless the answer has no natural end (event stream, upgrade): no total deadline applies.
   * @param bodyIdleMs the longest wait between two pieces of the body.
   */
  protected answered(
    attempt: Attempt,
    good: boolean,
    endless: boolean,
    bodyIdleMs: number = Number.POSITIVE_INFINITY,
  ): void {
    this.#phase = "body";
    if (endless) {
      this.#isEndless = true;
      this.#endsAt = this.#inheritedEnd;
    }
    this.#answeredAt = this.cluster.clock.now();
    this.#bodyIdleMs = bodyIdleMs;
    this.#heardAt = this.#answeredAt;
    if (this.#rival !== undefined) this.#win(attempt, this.#answeredAt);
    // Whoever listens to the end of the other one may have ended the call.
    if (this.isOver) return;
    // Else the heap entry stays where it is: when it fires early, `expire` moves it.
    if (this.heapIndex < 0 || this.#answeredAt + bodyIdleMs < this.dueAt) {
      this.#wakeAt(Math.min(this.#endsAt, this.#answeredAt + bodyIdleMs));
    }
    this.cluster.answered(attempt, good, this.#answeredAt);
    if (!good || this.#ticket === undefined || this.isOver) return;
    this.cluster.admission?.answered(this.#ticket, this.#answeredAt - this.#admittedAt, this.#answeredAt);
    this.#ticket = undefined;
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

  /**
   * The whole answer is here, or the connection was handed over and is closed. False if the call has ended otherwise, as
   * whoever listens to the end of the attempt may end it.
   */
  protected complete(outcome: Outcome): boolean {
    if (this.#phase === "over") return false;
    // What the averages take from an answer was known at its headers: no need to ask the clock once more. A failure
    // may take the node out, and that begins now.
    const now = outcome.kind === "failure" ? this.cluster.clock.now() : this.#answeredAt;
    this.#endAttempt(this.attempt, outcome, now);
    return this.#finish(outcome);
  }

  /**
   * The attempt failed; true if the call goes on with another one, and the attempt is over. When false, the
   * attempt is still the call's, for an answer that is delivered as it is.
   */
  protected tryAgain(
    attempt: Attempt,
    outcome: Outcome,
    error: unknown,
    unsent: boolean,
    retryAfterMs: number,
  ): boolean {
    const { cluster } = this;
    if (this.#phase !== "attempt" || cluster.destroyed) return false;
    if (this.#rival !== undefined) {
      this.#leaveToOther(attempt, outcome, error);
      return true;
    }
    const now = cluster.clock.now();
    const delayMs = retryDelayMs(
      {
        outcome,
        number: this.#attempts - this.#passedOver,
        unsent,
        repeatable: this.#idempotent && this.canRepeatBody(),
        retryAfterMs: retryAfterMs > 0 && this.#othersLeft(attempt.node) ? 0 : retryAfterMs,
        remainingMs: this.#endsAt - now - cluster.floorMs(now),
      },
      this.rules.retry,
      cluster.options.random,
    );
    // The ledger guards the nodes; an attempt that ended by our own shortage has reached none.
    const isFree = outcome.reason === "shortage" || outcome.reason === "busy";
    if (delayMs === undefined || (!isFree && !cluster.withdrawRetry(now))) return false;
    if (!isFree) this.#extras++;
    // A node that ends its connections in good order has not tried: that is no attempt, as long as it is no rule.
    if (outcome.reason === "closing" && unsent && this.#passedOver < this.rules.retry.attempts) {
      this.#passedOver++;
    }
    this.#remember(attempt.node, outcome, error);
    this.#endAttempt(attempt, outcome, now);
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
  protected attemptFailed(attempt: Attempt, outcome: Outcome, error: Error, unsent: boolean): void {
    if (attempt.ended || this.#phase === "over") return;
    // What is the call's own fault would be no better elsewhere.
    if (outcome.reason !== "call" && this.tryAgain(attempt, outcome, error, unsent, 0)) return;
    this.endFailed(attempt, outcome, error);
  }

  /** The same where nothing more is tried. */
  protected endFailed(attempt: Attempt, outcome: Outcome, error: Error): void {
    const headersDelivered = this.#phase === "body";
    const other = attempt === this.attempt ? this.#rival : this.attempt;
    this.#rival = undefined;
    this.#endAttempt(attempt, outcome, this.cluster.clock.now());
    // What one node did is not held against the other one's.
    if (other !== attempt) this.#drop(other, outcome.kind === "ignored" ? outcome : overtakenOutcome, error);
    if (outcome.reason === "call" || outcome.reason === "aborted" || headersDelivered) {
      if (this.#finish(outcome)) this.fail(error);
      return;
    }
    this.#remember(attempt.node, outcome, error);
    const code = error instanceof BalancerError ? error.code : "ERR_NO_NODE";
    this.#failWith(code, this.#describe("no node gave an answer"), outcome);
  }

  #inherit(context: CallContext, now: number): void {
    this.#context = context;
    this.#endsAt = Math.min(this.#endsAt, now + context.remainingMs());
    const { signal } = context;
    if (signal === undefined || signal.aborted) return;
    this.#onContextAbort = () => {
      // A handler's time ran out, which its signal tells as well: that is no change of mind of the caller's.
      if (context.remainingMs() > 0 && !isTimeout(signal.reason)) this.abort(signal.reason);
      else this.#expireTotal(this.cluster.clock.now());
    };
    signal.addEventListener("abort", this.#onContextAbort, { once: true });
  }

  /** The deadline that no option of this call's can lift. */
  get #inheritedEnd(): number {
    const context = this.#context;
    return context === undefined
      ? Number.POSITIVE_INFINITY
      : this.cluster.clock.now() + context.remainingMs();
  }

  #next(now: number): void {
    const { cluster } = this;
    const leftMs = this.#endsAt - now;
    if (leftMs < cluster.floorMs(now)) {
      const left = `${leftMs.toFixed(1)} ms are left, and no call has been answered in so little lately`;
      this.#reject("ERR_DEADLINE", this.#describe(left));
      return;
    }
    const node = this.#pick(now);
    if (node === undefined) {
      this.#reject("ERR_NO_NODE", this.#describe(cluster.describeNoNode()));
      return;
    }
    const attempt = cluster.begin(node, ++this.#attempts, now);
    this.attempt = attempt;
    this.#hedgeAt = now + cluster.hedgeDelayMs(now);
    this.#wakeAt(Math.min(this.#endsAt, now + this.rules.attemptMs, this.#hedgeAt));
    this.#dispatch(attempt, now);
  }

  #dispatch(attempt: Attempt, now: number): void {
    const { cluster } = this;
    this.addedHeaders = undefined;
    const { deadlineHeader } = cluster.options;
    if (deadlineHeader !== undefined) this.#addDeadline(attempt, deadlineHeader, now);
    const { priority } = this;
    if (priority !== "default") this.#addHeader(attempt, priorityHeader, priority);
    if (attemptStarts.hasSubscribers) {
      attemptStarts.publish({
        service: cluster.name,
        address: attempt.node.key,
        method: this.method,
        path: this.path,
        attempt: attempt.number,
        call: this,
        addHeader: (name: string, value: string) => this.#addHeader(attempt, name, value),
      });
      // Whoever listens may have ended the call.
      if (this.isOver || attempt.ended) return;
    }
    this.send(attempt);
  }

  /** Sends the call to a second node, as the first has taken unusually long. */
  #hedge(now: number): void {
    const { attempt, cluster } = this;
    this.#hedgeAt = Number.POSITIVE_INFINITY;
    if (attempt === undefined || this.#rival !== undefined || !this.canRepeat || !this.canRace()) return;
    if (this.#endsAt - now < cluster.floorMs(now) || !cluster.hasHedgeLeft(now)) return;
    this.#record ??= new CallRecord();
    this.#record.leaveOut(attempt.node);
    const node = cluster.nodeSet.pick(this, now);
    if (node === undefined || !cluster.withdrawHedge(now)) return;
    this.#extras++;
    const rival = cluster.begin(node, ++this.#attempts, now);
    rival.isHedge = true;
    this.#rival = rival;
    this.#dispatch(rival, now);
  }

  /** Of two attempts this one is answered: the other is stopped. */
  #win(attempt: Attempt, now: number): void {
    const loser = attempt === this.attempt ? this.#rival : this.attempt;
    this.attempt = attempt;
    this.#rival = undefined;
    if (loser === undefined) return;
    this.cluster.overtaken(loser, now);
    this.#drop(loser, loser.isTrial ? overtakenTrial : overtakenOutcome, overtaken);
  }

  /** Of two attempts this one failed: the call rests on the other, which was paid for already. */
  #leaveToOther(attempt: Attempt, outcome: Outcome, error: unknown): void {
    if (attempt === this.attempt) this.attempt = this.#rival;
    this.#rival = undefined;
    const now = this.cluster.clock.now();
    this.#remember(attempt.node, outcome, error);
    this.#endAttempt(attempt, outcome, now);
    if (!this.isOver) this.#expireAttempts(now);
  }

  /** Not the attempt's time, which is for the headers only: the called side would break off an answer that takes longer. */
  #addDeadline(attempt: Attempt, name: string, now: number): void {
    const endsAt = this.mayBeEndless ? this.#inheritedEnd : this.#endsAt;
    if (endsAt === Number.POSITIVE_INFINITY) return;
    this.#addHeader(attempt, name, deadlineHeaderValue(name, endsAt - now));
  }

  #addHeader(attempt: Attempt, name: string, value: string): void {
    if (attempt.ended || (this.attempt !== attempt && this.#rival !== attempt)) return;
    this.addedHeaders ??= [];
    this.addedHeaders.push(name, value);
  }

  /** A node that this call has not tried; when it has tried all, any. */
  #pick(now: number): Node | undefined {
    const node = this.cluster.nodeSet.pick(this, now);
    if (node !== undefined || this.#record === undefined) return node;
    this.#record.forgetTried();
    return this.cluster.nodeSet.pick(this, now);
  }

  /** Whether a node may be called that this call has not tried, other than the one that it tries now. */
  #othersLeft(present: Node): boolean {
    return this.cluster.nodeSet.callable.some((node) => node !== present && !this.tried.includes(node));
  }

  /** Gives up what has had its time, and waits for what has not. */
  #expireAttempts(now: number): void {
    const { attemptMs } = this.rules;
    const blockedMs = this.cluster.lag.blockedMs(now);
    let dueAt = Math.min(this.#endsAt, this.#hedgeAt);
    for (const attempt of [this.attempt, this.#rival]) {
      if (attempt === undefined || attempt.ended) continue;
      const elapsedMs = attempt.elapsedMs(now, blockedMs);
      // While this process was blocked it could not have read an answer; the node gets that time back.
      if (elapsedMs >= attemptMs - 1) {
        // It goes on elsewhere, is over, or rests on the other one: whichever it is was seen to.
        this.#expireAttempt(attempt);
        return;
      }
      dueAt = Math.min(dueAt, now + Math.max(1, attemptMs - elapsedMs));
    }
    this.#wakeAt(dueAt);
  }

  #expireAttempt(attempt: Attempt): void {
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
    this.attemptFailed(attempt, outcome, error, unsent);
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
    let outcome = outOfTime;
    if (attempt !== undefined && !attempt.ended) {
      outcome = this.#cutShort(attempt, now) ?? outcome;
      this.#remember(attempt.node, outcome, undefined);
    }
    if (this.isOver) return;
    const missing: Partial<Record<Phase, string>> = {
      admission: "it was not let through",
      discovery: "discovery named no node",
      body: "the response was not whole",
    };
    const withinMs = Math.round(this.#endsAt - this.#startedAt);
    const message = this.#describe(`${missing[this.#phase] ?? "no answer"} within ${withinMs} ms`);
    const rival = this.#rival;
    const rivalOutcome = rival === undefined ? undefined : this.#cutShort(rival, now);
    const error = new BalancerError("ERR_DEADLINE", this.cluster.name, message, this.#record?.lastError);
    if (rivalOutcome !== undefined) {
      this.#rival = undefined;
      this.#drop(rival, rivalOutcome, error);
    }
    this.#giveUp(outcome, error);
  }

  /** What it says of its node that the call's time ran out; undefined when that had no fair chance. */
  #cutShort(attempt: Attempt, now: number): Outcome | undefined {
    const waitedMs = attempt.waitedMs(now, this.cluster.lag.blockedMs(now));
    const fairMs = fairShare * (this.#endsAt - this.#startedAt);
    // Of a deadline that is inherited little may have been left to begin with.
    const leastMs = this.#context === undefined ? 0 : usualTimes * attempt.node.latencyMs;
    const hadItsChance = waitedMs >= Math.max(fairMs, leastMs) && !this.isInLine(attempt);
    if (this.#phase !== "attempt" || !hadItsChance) return undefined;
    return failure("timeout", `no answer within ${Math.round(waitedMs)} ms`);
  }

  #giveUp(outcome: Outcome, error: Error): void {
    if (this.#phase === "over") return;
    const { attempt } = this;
    const rival = this.#rival;
    this.#rival = undefined;
    this.cluster.waiting.delete(this);
    this.#drop(attempt, outcome, error);
    this.#drop(rival, outcome.kind === "ignored" ? outcome : outOfTime, error);
    if (this.#finish(outcome)) this.fail(error);
  }

  /** Ends an attempt that is under way, if it is. */
  #drop(attempt: Attempt | undefined, outcome: Outcome, error: Error): void {
    if (attempt === undefined || attempt.ended) return;
    this.stop(attempt, error);
    this.#endAttempt(attempt, outcome, this.cluster.clock.now());
  }

  #endAttempt(attempt: Attempt | undefined, outcome: Outcome, now: number): void {
    const { cluster } = this;
    if (attempt === undefined || attempt.ended) return;
    cluster.settle(attempt, outcome, now);
    if (attempt.number > 1 && this.#extras > 0) {
      this.#extras--;
      cluster.extraEnded();
    }
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
    this.#failWith(code, message, unsent);
  }

  #failWith(code: BalancerErrorCode, message: string, outcome: Outcome): void {
    const error = new BalancerError(code, this.cluster.name, message, this.#record?.lastError);
    if (this.#finish(outcome)) this.fail(error);
  }

  /** False if the call is over already: stopping an attempt and publishing events run code that may end the call. */
  #finish(outcome: Outcome): boolean {
    if (this.#phase === "over") return false;
    const { cluster } = this;
    const isCallers = outcome.reason === "aborted" || outcome.reason === "call";
    const isFailure = outcome.kind !== "success" && !isCallers;
    if (this.#phase === "admission") cluster.admission?.left(this);
    this.#phase = "over";
    cluster.deadlines.remove(this);
    for (; this.#extras > 0; this.#extras--) cluster.extraEnded();
    if (this.#context !== undefined) this.#leaveContext(this.#context, isFailure);
    cluster.callEnded();
    this.released();
    if (callEnds.hasSubscribers) {
      callEnds.publish({
        service: cluster.name,
        method: this.method,
        path: this.path,
        call: this,
        outcome: isFailure ? "failure" : outcome.kind,
        attempts: this.#attempts,
      });
    }
    // Last, as it lets others go.
    if (this.#isCounted && cluster.admission !== undefined) {
      const now = cluster.clock.now();
      const admittedAt = this.#admittedAt;
      const latencyMs = (this.#answeredAt || now) - admittedAt;
      const isEndless = this.#isEndless;
      cluster.admission.ended(this.#ticket, outcome, { latencyMs, admittedAt, isEndless }, now);
    }
    return true;
  }

  #leaveContext(context: CallContext, isFailure: boolean): void {
    if (this.#onContextAbort !== undefined) {
      context.signal?.removeEventListener("abort", this.#onContextAbort);
    }
    if (isFailure && (this.wasAnswered || !this.hasFallback)) context.noteFailureBelow();
  }

  /**
   * Nothing stood in for what failed. What could be done was done here: whoever waits for this program's own answer need
   * not ask for it again.
   */
  protected noteFailure(): void {
    this.#context?.noteFailureBelow();
  }

  #wakeAt(at: number): void {
    this.cluster.deadlines.remove(this);
    if (at === Number.POSITIVE_INFINITY) return;
    this.dueAt = at;
    this.cluster.deadlines.add(this);
  }

  #remember(node: Node, outcome: Outcome, error: unknown): void {
    this.#record ??= new CallRecord();
    this.#record.add(node, outcome, error);
  }

  #describe(what: string): string {
    const call = `${this.method} ${this.path}`.slice(0, 200);
    return `${call}: ${what}${this.#record?.describe() ?? ""}`;
  }
}

/** A context ends with one at its deadline, or a little before: timers may be early, and callers leave in time. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}
