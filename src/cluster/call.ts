/**
 * One call, from admission to its end, whatever the transport: waits for nodes, picks, attempts, tries again.
 *
 * A transport extends `Call` with what `TransportCall` asks of it, and reports what it sees. Everything that decides
 * is here or in what this calls. From the inside out: `CallState` holds what is kept of a call, `TransportCall` is the
 * transport's part, `CallAttempts` sends and ends single attempts, `CallSpan` bounds and ends the whole, and this leads
 * it from one phase to the next.
 *
 * A call is its own deadline entry and its own `CallInfo`: the hot path makes one object for all of it, which is why
 * these are classes one upon the other and not parts. What only some calls need has objects of its own, made on demand:
 * `CallRecord`, `AdmissionPass`, `InheritedContext`.
 */
import { AsyncResource } from "node:async_hooks";
import type { Attempt } from "../core/attempt.ts";
import { BalancerError } from "../core/errors.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { retryDelayMs } from "../resilience/retry.ts";
import type { Refusal } from "./admission.ts";
import { AdmissionPass } from "./admission-pass.ts";
import { overtakenOutcome } from "./call-attempts.ts";
import { publishRetry } from "./call-events.ts";
import { CallSpan } from "./call-span.ts";
import { attemptDueAt, bodyDueAt } from "./time-up.ts";

export abstract class Call extends CallSpan {
  // From the start to the first attempt.

  /** Admits the call and makes its first attempt. */
  start(): void {
    const { cluster } = this;
    const now = cluster.clock.now();
    this.open(now);
    if (this.isOver) return;
    if (cluster.admission === undefined) {
      cluster.callAdmitted(now);
      this.proceed(now);
    } else {
      this.pass = new AdmissionPass(cluster.admission);
      const dueAt = cluster.admission.admit(this, now);
      if (this.phase !== "admission") return;
      // Whoever makes room runs in another call's asynchronous context.
      this.resource = new AsyncResource("EVENKEEL_WAITING_CALL");
      this.wakeAt(Math.min(this.endsAt, dueAt));
    }
  }

  /** Nothing stands against the call: it goes to a node as soon as there is one. */
  admitted(now: number, ticket: number): void {
    this.pass?.admitted(now, ticket);
    this.cluster.callAdmitted(now);
    if (this.resource === undefined) this.proceed(now);
    else this.resource.runInAsyncScope(() => this.proceed(now));
  }

  /** Limits or breaker will not have it. */
  refused({ code, message }: Refusal): void {
    const now = this.cluster.clock.now();
    if (now >= this.endsAt) this.expireTotal(now);
    else this.reject(code, this.describe(message));
  }

  /** Discovery gave its first answer. */
  discovered(now: number): void {
    if (this.phase !== "discovery") return;
    this.cluster.deadlines.remove(this);
    this.phase = "attempt";
    this.next(now);
  }

  private proceed(now: number): void {
    const { cluster } = this;
    if (cluster.awaitsDiscovery) {
      this.phase = "discovery";
      cluster.waiting.add(this);
      this.wakeAt(Math.min(this.endsAt, now + cluster.options.timeouts.connectMs));
    } else {
      this.phase = "attempt";
      this.next(now);
    }
  }

  private next(now: number): void {
    const { cluster } = this;
    const leftMs = this.endsAt - now;
    if (cluster.isTooLate(leftMs, now)) {
      const left = `${leftMs.toFixed(1)} ms are left, and no call has been answered in so little lately`;
      this.reject("ERR_DEADLINE", this.describe(left));
      return;
    }
    let node: Node | undefined;
    try {
      node = this.pick(now);
    } catch (error) {
      // It is thrown within a timer as well, or while others wait for theirs: it ends this call, and nothing else.
      this.cancel(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (node === undefined) {
      this.reject("ERR_NO_NODE", this.describe(cluster.describeNoNode()));
      return;
    }
    const attempt = this.beginOn(node, now);
    this.attempt = attempt;
    this.hedgeAt = now + cluster.hedgeDelayMs(now);
    this.wakeAt(Math.min(this.endsAt, now + this.rules.attemptMs, this.hedgeAt));
    this.dispatch(attempt, now);
  }

  expire(now: number): void {
    if (this.isOver) return;
    if (now >= this.endsAt) {
      this.expireTotal(now);
    } else if (this.phase === "admission") {
      this.cluster.admission?.expired(this);
    } else if (this.phase === "discovery") {
      this.cluster.waiting.delete(this);
      this.reject(
        "ERR_NO_NODE",
        `discovery named no node within ${this.cluster.options.timeouts.connectMs} ms`,
      );
    } else if (this.phase === "backoff") {
      this.phase = "attempt";
      this.next(now);
    } else if (this.phase === "attempt") {
      if (now >= this.hedgeAt) {
        this.hedgeAt = Number.POSITIVE_INFINITY;
        this.hedge(now);
      }
      // A hedge may end at once, and have ended the call or left it waiting for its next attempt.
      if (this.phase === "attempt") this.expireAttempts(now);
    } else {
      this.expireBody(now);
    }
  }

  // What the transport reports.

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
    const now = this.cluster.clock.now();
    this.phase = "body";
    if (endless) this.liftDeadline(now);
    this.answeredAt = now;
    this.bodyIdleMs = bodyIdleMs;
    this.heardAt = now;
    if (this.rival !== undefined) this.win(attempt, now);
    // Whoever listens to the end of the other one may have ended the call.
    if (this.isOver) return;
    // Else the deadline stays what it is: when it fires early, `expire` moves it.
    if (this.lane === undefined || now + bodyIdleMs < this.dueAt) {
      this.wakeAt(Math.min(this.endsAt, now + bodyIdleMs));
    }
    this.cluster.answered(attempt, good, now);
    if (good && !this.isOver) this.pass?.answered(now);
  }

  /** A piece of the body came. */
  protected bodyHeard(): void {
    this.heardAt = this.cluster.clock.now();
  }

  /**
   * The whole answer is here, or the connection was handed over and is closed. False if the call has ended otherwise, as
   * whoever listens to the end of the attempt may end it.
   */
  protected complete(outcome: Outcome): boolean {
    if (this.isOver) return false;
    // What the averages take from an answer was known at its headers: no need to ask the clock once more. A failure
    // may take the node out, and that begins now.
    const now = outcome.kind === "failure" ? this.cluster.clock.now() : this.answeredAt;
    this.endAttempt(this.attempt, outcome, now);
    return this.finish(outcome);
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
    if (this.phase !== "attempt" || cluster.destroyed) return false;
    const now = cluster.clock.now();
    if (this.rival !== undefined) {
      this.leaveToOther(attempt, outcome, error, now);
      if (!this.isOver) this.expireAttempts(now);
      return true;
    }
    const { retry } = this.rules;
    const delayMs = retryDelayMs(
      {
        outcome,
        number: this.attemptCount - (this.record?.passedOver ?? 0),
        unsent,
        repeatable: this.isIdempotent && this.canRepeatBody(),
        retryAfterMs: retryAfterMs > 0 && this.hasOthers(attempt.node) ? 0 : retryAfterMs,
        remainingMs: this.endsAt - now - cluster.floorMs(now),
      },
      retry,
      cluster.options.random,
    );
    // The ledger guards the nodes; an attempt that ended by our own shortage has reached none.
    const isFree = outcome.reason === "shortage" || outcome.reason === "busy";
    if (delayMs === undefined || (!isFree && !cluster.withdrawRetry(now))) return false;
    const record = this.remember(attempt.node, outcome, error);
    if (!isFree) record.extras++;
    // A node that ends its connections in good order has not tried: that is no attempt, as long as it is no rule.
    if (outcome.reason === "closing" && unsent && record.passedOver < retry.attempts) record.passedOver++;
    this.endAttempt(attempt, outcome, now);
    publishRetry(cluster, attempt, outcome, this.attemptCount + 1, delayMs);
    // Whoever listens to the events may have ended the call.
    if (this.isOver) return true;
    cluster.deadlines.remove(this);
    this.repeating();
    if (delayMs === 0) {
      this.next(now);
    } else {
      this.phase = "backoff";
      this.wakeAt(Math.min(this.endsAt, now + delayMs));
    }
    return true;
  }

  /** The attempt ended without an answer that could be delivered: another one, or the end. */
  protected attemptFailed(attempt: Attempt, outcome: Outcome, error: Error, unsent: boolean): void {
    if (attempt.ended || this.isOver) return;
    // What is the call's own fault would be no better elsewhere.
    if (outcome.reason !== "call" && this.tryAgain(attempt, outcome, error, unsent, 0)) return;
    this.endFailed(attempt, outcome, error);
  }

  /** The same where nothing more is tried. */
  protected endFailed(attempt: Attempt, outcome: Outcome, error: Error): void {
    const headersDelivered = this.phase === "body";
    const other = this.forgetRivalOf(attempt);
    this.endAttempt(attempt, outcome, this.cluster.clock.now());
    // What one node did is not held against the other one's.
    if (other !== attempt) this.drop(other, outcome.kind === "ignored" ? outcome : overtakenOutcome, error);
    if (outcome.reason === "call" || outcome.reason === "aborted" || headersDelivered) {
      if (this.finish(outcome)) this.fail(error);
      return;
    }
    this.remember(attempt.node, outcome, error);
    const code = error instanceof BalancerError ? error.code : "ERR_NO_NODE";
    this.failWith(code, this.describe("no node gave an answer"), outcome);
  }

  // How time runs out.

  /** Gives up what has had its time, and waits for what has not. */
  private expireAttempts(now: number): void {
    const blockedMs = this.cluster.lag.blockedMs(now);
    let dueAt = Math.min(this.endsAt, this.hedgeAt);
    for (const attempt of [this.attempt, this.rival]) {
      if (attempt === undefined || attempt.ended) continue;
      const attemptAt = attemptDueAt(attempt.elapsedMs(now, blockedMs), this.rules.attemptMs, now);
      if (attemptAt <= now) {
        // It goes on elsewhere, is over, or rests on the other one: whichever it is was seen to.
        this.expireAttempt(attempt);
        return;
      }
      dueAt = Math.min(dueAt, attemptAt);
    }
    this.wakeAt(dueAt);
  }

  private expireAttempt(attempt: Attempt): void {
    const within = `within ${this.rules.attemptMs} ms`;
    const isInLine = this.isInLine(attempt);
    const error = isInLine
      ? this.errorOf("ERR_OVERLOADED", `${attempt.node.key} had no connection free ${within}`)
      : this.errorOf("ERR_DEADLINE", `${attempt.node.key} gave no answer ${within}`);
    const outcome = isInLine
      ? ignored("busy", "no free connection")
      : failure("timeout", `no answer ${within}`);
    const unsent = this.isUnsent(attempt);
    this.stop(attempt, error);
    this.attemptFailed(attempt, outcome, error, unsent);
  }

  private expireBody(now: number): void {
    const dueAt = bodyDueAt(
      {
        heardAt: this.heardAt,
        idleMs: this.bodyIdleMs,
        isPaused: this.isBodyPaused(),
        lateMs: now - this.dueAt,
      },
      now,
    );
    if (dueAt > now) {
      this.wakeAt(Math.min(this.endsAt, Math.max(now + 1, dueAt)));
      return;
    }
    const message = `the body stood still for ${this.bodyIdleMs} ms`;
    this.giveUp(failure("timeout", "body timeout"), this.bodyIdleError(this.describe(message)));
  }
}
