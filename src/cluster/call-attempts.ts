/**
 * The attempts of one call: a node is picked, the call is sent to it, perhaps to a second one while the first is under
 * way, and each attempt ends once.
 *
 * Whether there is another one, and when, is decided by `Call`, which extends this.
 */
import type { Attempt } from "../core/attempt.ts";
import { attemptStarts } from "../core/events.ts";
import { priorityHeader } from "../core/layers.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { deadlineHeaderValue } from "../resilience/deadline-header.ts";
import { publishAttemptEnd, publishAttemptStart } from "./call-events.ts";
import { CallRecord } from "./call-record.ts";
import { TransportCall } from "./transport-call.ts";

const noNodes: readonly Node[] = Object.freeze([]);

/** What an attempt is stopped with whose hedge, or which as a hedge, came too late. */
const overtaken = new Error("another attempt of the same call was answered first");
export const overtakenOutcome: Outcome = ignored("hedged", overtaken.message);
/** The same on a node half open. It had its try: if that said nothing, a node that hangs would get one try after another. */
const overtakenTrial: Outcome = failure("timeout", "slower than another node that was asked later");

export abstract class CallAttempts extends TransportCall {
  abstract get isOver(): boolean;
  /** When the answer must be whole, as its node is told. */
  protected abstract answerEndsAt(now: number): number;

  get tried(): readonly Node[] {
    return this.record?.tried ?? noNodes;
  }

  /**
   * Whether a failure of the next attempt could be made good by another: such calls go on trial first. A hedge does not:
   * it is to save a call that is slow already.
   */
  get canRetry(): boolean {
    const { cluster } = this;
    return (
      this.isIdempotent &&
      this.attempt?.ended !== false &&
      this.attemptCount + 1 < this.rules.retry.attempts &&
      cluster.hasRetryLeft(cluster.clock.now())
    );
  }

  /** Whether there may be another attempt beside or after the one under way, once that is sent. */
  protected get canRepeat(): boolean {
    return this.isIdempotent && this.attemptCount < this.rules.retry.attempts;
  }

  /** A node that this call has not tried; when it has tried all, any. */
  protected pick(now: number): Node | undefined {
    const node = this.cluster.nodeSet.pick(this, now);
    if (node !== undefined || this.record === undefined) return node;
    this.record.forgetTried();
    return this.cluster.nodeSet.pick(this, now);
  }

  /** Whether a node may be called that this call has not tried, other than the one that it tries now. */
  protected hasOthers(present: Node): boolean {
    return this.cluster.nodeSet.callable.some((node) => node !== present && !this.tried.includes(node));
  }

  protected beginOn(node: Node, now: number): Attempt {
    return this.cluster.begin(node, ++this.attemptCount, now);
  }

  /** May end the attempt, and the call, before it returns. */
  protected dispatch(attempt: Attempt, now: number): void {
    const { cluster } = this;
    this.addedHeaders = undefined;
    const { deadlineHeader } = cluster.options;
    if (deadlineHeader !== undefined) this.addDeadline(attempt, deadlineHeader, now);
    const { priority } = this;
    if (priority !== "default") this.addHeader(attempt, priorityHeader, priority);
    if (attemptStarts.hasSubscribers) {
      publishAttemptStart(cluster, this, attempt, (name, value) => this.addHeader(attempt, name, value));
      // Whoever listens may have ended the call.
      if (this.isOver || attempt.ended) return;
    }
    this.send(attempt);
  }

  /** Sends the call to a second node, where it may, as the first has taken unusually long. */
  protected hedge(now: number): void {
    const { attempt, cluster } = this;
    if (attempt === undefined || this.rival !== undefined || !this.canRepeat || !this.canRace()) return;
    if (this.endsAt - now < cluster.floorMs(now) || !cluster.hasHedgeLeft(now)) return;
    this.record ??= new CallRecord();
    this.record.leaveOut(attempt.node);
    const node = this.pickOther(now);
    if (node === undefined || !cluster.withdrawHedge(now)) return;
    this.record.extras++;
    const rival = this.beginOn(node, now);
    rival.isHedge = true;
    this.rival = rival;
    this.dispatch(rival, now);
  }

  private pickOther(now: number): Node | undefined {
    const { nodeSet } = this.cluster;
    try {
      return nodeSet.pick(this, now);
    } catch (error) {
      // The first attempt is under way, and the call is none the worse.
      nodeSet.policy.report("pick", error);
      return undefined;
    }
  }

  /** Of two attempts this one is answered: the other is stopped. */
  protected win(attempt: Attempt, now: number): void {
    const loser = this.forgetRivalOf(attempt);
    this.attempt = attempt;
    if (loser === undefined) return;
    this.cluster.overtaken(loser, now);
    this.drop(loser, loser.isTrial ? overtakenTrial : overtakenOutcome, overtaken);
  }

  /** Of two attempts this one failed: the call rests on the other, which was paid for already. */
  protected leaveToOther(attempt: Attempt, outcome: Outcome, error: unknown, now: number): void {
    this.attempt = this.forgetRivalOf(attempt);
    this.remember(attempt.node, outcome, error);
    this.endAttempt(attempt, outcome, now);
  }

  /** The other one of two, which are two no more; undefined where there is none. */
  protected forgetRivalOf(attempt: Attempt): Attempt | undefined {
    const other = attempt === this.attempt ? this.rival : this.attempt;
    this.rival = undefined;
    return other;
  }

  protected remember(node: Node, outcome: Outcome, error: unknown): CallRecord {
    this.record ??= new CallRecord();
    this.record.add(node, outcome, error);
    return this.record;
  }

  /** Stops an attempt that is under way, if it is. */
  protected drop(attempt: Attempt | undefined, outcome: Outcome, error: Error): void {
    if (attempt === undefined || attempt.ended) return;
    this.stop(attempt, error);
    this.endAttempt(attempt, outcome, this.cluster.clock.now());
  }

  protected endAttempt(attempt: Attempt | undefined, outcome: Outcome, now: number): void {
    const { cluster, record } = this;
    if (attempt === undefined || attempt.ended) return;
    cluster.settle(attempt, outcome, now);
    if (attempt.number > 1 && record !== undefined && record.extras > 0) {
      record.extras--;
      cluster.extraEnded();
    }
    publishAttemptEnd(cluster, this, attempt, outcome);
  }

  /** The call, and what it met: for the message of its error. */
  protected describe(what: string): string {
    const call = `${this.method} ${this.path}`.slice(0, 200);
    return `${call}: ${what}${this.record?.describe() ?? ""}`;
  }

  /** Not the attempt's time, which is for the headers only: the called side would break off an answer that takes longer. */
  private addDeadline(attempt: Attempt, name: string, now: number): void {
    const endsAt = this.answerEndsAt(now);
    if (endsAt === Number.POSITIVE_INFINITY) return;
    this.addHeader(attempt, name, deadlineHeaderValue(name, endsAt - now));
  }

  private addHeader(attempt: Attempt, name: string, value: string): void {
    if (attempt.ended || (this.attempt !== attempt && this.rival !== attempt)) return;
    this.addedHeaders ??= [];
    this.addedHeaders.push(name, value);
  }
}
