/**
 * From when to when one call lasts: its deadline, of its own or inherited, and its end, which comes once.
 *
 * It may end from outside (an abort, its time, the cluster's end) at any moment, also while an attempt is being stopped or
 * an event published, since that runs code that is not ours. So whoever may have ended it is followed by a look at `isOver`.
 */
import type { Attempt } from "../core/attempt.ts";
import type { CallPriority } from "../core/contracts.ts";
import type { Deadline } from "../core/deadlines.ts";
import { type BalancerErrorCode, describeError } from "../core/errors.ts";
import { rejects } from "../core/events.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { currentContext } from "../resilience/call-context.ts";
import type { Applicant, Refusal } from "./admission.ts";
import { CallAttempts } from "./call-attempts.ts";
import { publishCallEnd, publishCallStart } from "./call-events.ts";
import type { Phase } from "./call-state.ts";
import { InheritedContext } from "./inherited-context.ts";
import { hadFairChance } from "./time-up.ts";

/** Nothing went out for the call. */
const unsent: Outcome = ignored("unsent", "not sent");
const outOfTime: Outcome = ignored("deadline", "the call's time ran out");

/** What a call that ran out of time had not come to. */
const missing: Readonly<Partial<Record<Phase, string>>> = {
  admission: "it was not let through",
  discovery: "discovery named no node",
  body: "the response was not whole",
};

export abstract class CallSpan extends CallAttempts implements Deadline, Applicant {
  abstract expire(now: number): void;
  abstract admitted(now: number, ticket: number): void;
  abstract refused(refusal: Refusal): void;
  abstract discovered(now: number): void;

  get priority(): CallPriority {
    const { priority } = this.rules;
    return priority === "default" ? (this.inherited?.priority ?? priority) : priority;
  }

  get isOver(): boolean {
    return this.phase === "over";
  }

  /**
   * Whether it waits to be let through. When all calls are to end, those end first: the others make room, and none should
   * be sent only to be cancelled.
   */
  get isKept(): boolean {
    return this.phase === "admission";
  }

  /** Whether the caller was given headers. */
  protected get wasAnswered(): boolean {
    return this.answeredAt > 0;
  }

  /** It may be over at once. */
  protected open(now: number): void {
    const { cluster } = this;
    this.startedAt = now;
    this.endsAt = now + this.rules.totalMs;
    this.phase = "admission";
    const context = currentContext();
    if (context !== undefined) {
      this.inherited = new InheritedContext(context, this);
      this.endsAt = Math.min(this.endsAt, this.inherited.endsAt(now));
    }
    cluster.callStarted();
    publishCallStart(cluster, this);
    // Whoever listens may have ended the call.
    if (this.isOver) return;
    if (cluster.closed) {
      this.reject("ERR_CLOSED", "the cluster is closed");
    } else if (this.endsAt <= now) {
      // Before the handler's signal, which tells of the end of its time as well.
      this.reject("ERR_DEADLINE", this.describe("the time that it inherited was over before it began"));
    } else if (context?.signal?.aborted === true) {
      this.abort(context.signal.reason);
    }
  }

  /** The caller gives the call up. */
  abort(reason: Error): void {
    this.giveUp(ignored("aborted", describeError(reason)), reason);
  }

  /** The cluster or transport ends the call from its side. */
  cancel(error: Error): void {
    this.giveUp(ignored("call", describeError(error)), error);
  }

  /** The handler that made the call has no more time. */
  outOfTime(): void {
    this.expireTotal(this.cluster.clock.now());
  }

  /** The answer has no natural end: it may last as long as the handler does that asked for it. */
  protected liftDeadline(now: number): void {
    this.isEndless = true;
    this.endsAt = this.inheritedEnd(now);
  }

  protected answerEndsAt(now: number): number {
    return this.mayBeEndless ? this.inheritedEnd(now) : this.endsAt;
  }

  /** Has `expire` called then. */
  protected wakeAt(at: number): void {
    this.cluster.deadlines.remove(this);
    if (at === Number.POSITIVE_INFINITY) return;
    this.dueAt = at;
    this.cluster.deadlines.add(this);
  }

  /** Whether an attempt that was ended as the call's time ran out had a fair part of that: see `hadFairChance`. */
  protected hadItsChance(attempt: Attempt): boolean {
    const now = this.cluster.clock.now();
    return hadFairChance(attempt.waitedMs(now, this.cluster.lag.blockedMs(now)), now - this.startedAt);
  }

  protected expireTotal(now: number): void {
    const { attempt } = this;
    let outcome = outOfTime;
    if (attempt !== undefined && !attempt.ended) {
      outcome = this.cutShort(attempt, now) ?? outcome;
      this.remember(attempt.node, outcome, undefined);
    }
    if (this.isOver) return;
    const withinMs = Math.round(this.endsAt - this.startedAt);
    const message = this.describe(`${missing[this.phase] ?? "no answer"} within ${withinMs} ms`);
    const { rival } = this;
    const rivalOutcome = rival === undefined ? undefined : this.cutShort(rival, now);
    const error = this.errorOf("ERR_DEADLINE", message, this.record?.lastError);
    if (rivalOutcome !== undefined) {
      this.rival = undefined;
      this.drop(rival, rivalOutcome, error);
    }
    this.giveUp(outcome, error);
  }

  /** Ends the call, with whatever is under way for it. */
  protected giveUp(outcome: Outcome, error: Error): void {
    if (this.isOver) return;
    const { attempt, rival } = this;
    this.rival = undefined;
    this.cluster.waiting.delete(this);
    this.drop(attempt, outcome, error);
    this.drop(rival, outcome.kind === "ignored" ? outcome : outOfTime, error);
    if (this.finish(outcome)) this.fail(error);
  }

  /** Ends the call before anything was sent for it. */
  protected reject(code: BalancerErrorCode, message: string): void {
    if (rejects.hasSubscribers) rejects.publish({ service: this.cluster.name, code, message });
    this.failWith(code, message, unsent);
  }

  protected failWith(code: BalancerErrorCode, message: string, outcome: Outcome): void {
    const error = this.errorOf(code, message, this.record?.lastError);
    if (this.finish(outcome)) this.fail(error);
  }

  /** False if the call is over already. */
  protected finish(outcome: Outcome): boolean {
    if (this.isOver) return false;
    const { cluster, record } = this;
    const isCallers = outcome.reason === "aborted" || outcome.reason === "call";
    const isFailure = outcome.kind !== "success" && !isCallers;
    this.pass?.stopAsking(this);
    this.phase = "over";
    cluster.deadlines.remove(this);
    if (record !== undefined && record.extras > 0) {
      cluster.extraEnded(record.extras);
      record.extras = 0;
    }
    this.inherited?.left();
    if (isFailure && (this.wasAnswered || !this.hasFallback)) this.noteFailure();
    cluster.callEnded();
    this.released();
    publishCallEnd(cluster, this, isFailure ? "failure" : outcome.kind, this.attemptCount);
    if (this.pass !== undefined) {
      const now = cluster.clock.now();
      this.pass.ended(outcome, this.answeredAt || now, this.isEndless, now);
    }
    return true;
  }

  /**
   * Nothing stood in for what failed. What could be done was done here: whoever waits for this program's own answer need
   * not ask for it again.
   */
  protected noteFailure(): void {
    this.inherited?.noteFailure();
  }

  /** The deadline that no option of this call's can lift. */
  private inheritedEnd(now: number): number {
    return this.inherited?.endsAt(now) ?? Number.POSITIVE_INFINITY;
  }

  /** What it says of its node that the call's time ran out; undefined when that had no fair chance. */
  private cutShort(attempt: Attempt, now: number): Outcome | undefined {
    if (this.phase !== "attempt" || this.isInLine(attempt)) return undefined;
    const waitedMs = attempt.waitedMs(now, this.cluster.lag.blockedMs(now));
    const usualMs = this.inherited === undefined ? 0 : attempt.node.latencyMs;
    if (!hadFairChance(waitedMs, this.endsAt - this.startedAt, usualMs)) return undefined;
    return failure("timeout", `no answer within ${Math.round(waitedMs)} ms`);
  }
}
