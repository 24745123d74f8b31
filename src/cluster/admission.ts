/**
 * Which calls of a service go out now, which wait, and which are refused at once: rate limit, breaker, limit of calls
 * at once and its queue, in this order. Whoever is refused costs its node nothing.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { BalancerErrorCode } from "../core/errors.ts";
import { limitErrors } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import { AdaptiveLimit } from "../resilience/adaptive-limit.ts";
import { CallQueue, type QueuedCall } from "../resilience/call-queue.ts";
import { FixedLimit } from "../resilience/fixed-limit.ts";
import { SharedRate } from "../resilience/shared-rate.ts";
import { Throttle } from "../resilience/throttle.ts";
import { TokenBucket } from "../resilience/token-bucket.ts";
import type { BreakerRules, LimitRules } from "./limit-options.ts";

export interface Refusal {
  readonly code: BalancerErrorCode;
  readonly message: string;
}

/** What admission says to the calls that it is asked for. */
export interface Applicant extends QueuedCall {
  /**
   * Goes on, unless it is over.
   *
   * @param ticket for `answered` and `ended`.
   */
  admitted(now: number, ticket: number): void;
  refused(refusal: Refusal): void;
}

/** Of how many calls at once there may be. */
interface Places {
  readonly isFull: boolean;
  readonly limit: number;
  readonly inflight: number;
  begin(now: number): boolean;
  end(kind: Outcome["kind"], latencyMs: number, now: number): void;
}

export interface AdmissionHost {
  readonly service: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: LimitRules | undefined;
  readonly breaker: BreakerRules | undefined;
  /** The least time that a call is known to take. */
  floorMs(now: number): number;
  /** Calls that wait for a connection. */
  waitingForConnection(): number;
}

/** What is told of a call that was let through when it is over. */
export interface EndedCall {
  /** Until its headers, or its end. */
  readonly latencyMs: number;
  readonly admittedAt: number;
  /** An event stream, or a connection that was handed over. */
  readonly isEndless: boolean;
}

/** How a service's admission stands, for people. */
export interface AdmissionView {
  /** Calls that were let through and are not over. */
  readonly inflight: number;
  /** Calls that wait for a place. */
  readonly queued: number;
  /** The most calls at once; undefined for no limit. */
  readonly limit: number | undefined;
  /** Share of calls that the breaker refuses now, from 0 to 1. */
  readonly shedding: number;
}

export class Admission {
  readonly #host: AdmissionHost;
  readonly #bucket: TokenBucket | undefined;
  readonly #shared: SharedRate | undefined;
  readonly #throttle: Throttle | undefined;
  readonly #places: Places | undefined;
  readonly #queue: CallQueue<Applicant> | undefined;
  /** Calls that a shared rate limit is asked for. */
  readonly #asking: Set<Applicant> = new Set();
  #inflight = 0;
  #timer: Timer | undefined = undefined;
  #isFilling = false;

  constructor(host: AdmissionHost) {
    this.#host = host;
    const { limits, breaker, random } = host;
    const rate = limits?.rate;
    if (rate !== undefined && "consume" in rate)
      this.#shared = new SharedRate(rate, host.service, { clock: host.clock });
    else if (rate !== undefined) this.#bucket = new TokenBucket(rate);
    if (limits?.adaptive !== undefined) this.#places = new AdaptiveLimit(limits.adaptive);
    else if (limits?.inflight !== undefined) this.#places = new FixedLimit(limits.inflight);
    if (limits !== undefined && this.#places !== undefined && limits.queue > 0) {
      this.#queue = new CallQueue({ size: limits.queue, maxWaitMs: limits.queueMs });
    }
    if (breaker?.rate !== undefined) this.#throttle = new Throttle(breaker.rate, random);
  }

  /**
   * Lets the call through, refuses it, or keeps it.
   *
   * @returns when to look after a call that is kept (`expired`), at the latest; `Infinity` where that is seen to here.
   */
  admit(call: Applicant, now: number): number {
    const refusal = this.#refusal(now);
    if (refusal !== undefined) {
      call.refused(refusal);
      return now;
    }
    if (this.#shared === undefined) return this.#enter(call, now);
    this.#asking.add(call);
    this.#ask(this.#shared, call);
    return Number.POSITIVE_INFINITY;
  }

  /** A call that was kept has waited for as long as it may. */
  expired(call: Applicant): void {
    if (this.#queue?.remove(call) === true) call.refused(waitedTooLong);
  }

  /** A call that was kept is over. */
  left(call: Applicant): void {
    this.#asking.delete(call);
    this.#queue?.remove(call);
  }

  /** A call that was let through has a good answer: however long its body takes, it is no hang. */
  answered(ticket: number, latencyMs: number, now: number): void {
    this.#throttle?.ended(ticket, "success", latencyMs, now);
  }

  /**
   * A call that was let through is over.
   *
   * @param ticket undefined when `answered` was called.
   */
  ended(
    ticket: number | undefined,
    outcome: Outcome,
    { latencyMs, admittedAt, isEndless }: EndedCall,
    now: number,
  ): void {
    this.#inflight--;
    const kind = kindOf(outcome);
    // A deadline that left too little time tells of whoever set it; that it was much more than calls take, the throttle sees.
    const judged = outcome.reason === "deadline" ? "ignored" : kind;
    if (ticket !== undefined) this.#throttle?.ended(ticket, judged, latencyMs, now);
    // Its place was taken until now, body and all. What has no natural end says nothing of the load.
    this.#places?.end(isEndless ? "ignored" : kind, now - admittedAt, now);
    this.#fill(now);
  }

  /** Nothing is looked after any more. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  view(now: number): AdmissionView {
    return {
      inflight: this.#inflight,
      queued: this.#queue?.size ?? 0,
      limit: this.#places?.limit,
      shedding: 1 - (this.#throttle?.share(now) ?? 1),
    };
  }

  #refusal(now: number): Refusal | undefined {
    if (this.#bucket?.take(now) === false) {
      const inMs = Math.ceil(this.#bucket.waitMs(now));
      return { code: "ERR_RATE_LIMITED", message: `over the rate limit; the next call may go in ${inMs} ms` };
    }
    if (this.#host.breaker === undefined) return undefined;
    const full = this.#tooMany(this.#host.breaker);
    if (full !== undefined) return full;
    if (this.#throttle?.admits(now) === false) {
      const share = Math.round(100 * (1 - this.#throttle.share(now)));
      return {
        code: "ERR_CIRCUIT_OPEN",
        message: `too few calls are answered: ${share}% are refused until more are`,
      };
    }
    return undefined;
  }

  #tooMany(breaker: Pick<BreakerRules, "inflight" | "queued">): Refusal | undefined {
    if (this.#inflight >= breaker.inflight) {
      return {
        code: "ERR_CIRCUIT_OPEN",
        message: `${this.#inflight} calls are under way, the breaker's most`,
      };
    }
    if (breaker.queued !== Number.POSITIVE_INFINITY) {
      const queued = (this.#queue?.size ?? 0) + this.#host.waitingForConnection();
      if (queued >= breaker.queued) {
        return { code: "ERR_CIRCUIT_OPEN", message: `${queued} calls wait, the breaker's most` };
      }
    }
    return undefined;
  }

  #ask(shared: SharedRate, call: Applicant): void {
    void shared.take().then((answer) => {
      // It may have waited for too long, or be over.
      if (!this.#asking.delete(call)) return;
      if (answer instanceof Error) limitErrors.publish({ service: this.#host.service, error: answer });
      if (answer === "limited") {
        call.refused({ code: "ERR_RATE_LIMITED", message: "over the rate limit that is shared" });
        return;
      }
      // Others have come in while this one waited for the answer.
      const { breaker, clock } = this.#host;
      const full = breaker && this.#tooMany(breaker);
      if (full !== undefined) call.refused(full);
      else this.#enter(call, clock.now());
    });
  }

  /** Gives the call a place, or has it wait for one. */
  #enter(call: Applicant, now: number): number {
    const queue = this.#queue;
    if (this.#places === undefined || ((queue?.size ?? 0) === 0 && this.#places.begin(now))) {
      this.#begin(call, now);
      return now;
    }
    const { limit } = this.#places;
    if (queue === undefined) {
      call.refused({ code: "ERR_OVERLOADED", message: `${limit} calls are under way, the most at once` });
      return now;
    }
    const turnedAway = queue.add(call, now, this.#host.floorMs(now));
    turnedAway?.refused({
      code: "ERR_OVERLOADED",
      message: `${limit} calls are under way, the most at once, and ${queue.size} wait`,
    });
    this.#watch(queue, now);
    return now + (this.#host.limits?.queueMs ?? 0);
  }

  /** Looks after those who wait for too long: under overload that is far less than `queueMs`. */
  #watch(queue: CallQueue<Applicant>, now: number): void {
    if (this.#timer !== undefined || queue.nextDueAt === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(shortestWatchMs, queue.nextDueAt - now);
    this.#timer = this.#host.clock.schedule(() => {
      this.#timer = undefined;
      const then = this.#host.clock.now();
      for (const late of queue.expire(then)) late.refused(waitedTooLong);
      this.#watch(queue, then);
    }, delayMs);
  }

  #begin(call: Applicant, now: number): void {
    this.#inflight++;
    call.admitted(now, this.#throttle?.began(now) ?? 0);
  }

  /** Gives the places that are free to calls that wait. */
  #fill(now: number): void {
    const queue = this.#queue;
    const places = this.#places;
    // A call that is let through may end at once, and come back here.
    if (queue === undefined || places === undefined || this.#isFilling) return;
    this.#isFilling = true;
    try {
      while (queue.size > 0 && !places.isFull) {
        const call = queue.take(now, this.#host.floorMs(now));
        if (call === undefined) break;
        places.begin(now);
        this.#begin(call, now);
      }
      // Those who were passed over, as their time is too short by now.
      if (queue.nextDueAt <= now) for (const late of queue.expire(now)) late.refused(waitedTooLong);
    } finally {
      this.#isFilling = false;
    }
  }
}

const waitedTooLong: Refusal = {
  code: "ERR_OVERLOADED",
  message: "no place among the calls under way became free in time",
};

/** How often those who wait are looked through, at the most: each time costs a look at all of them. */
const shortestWatchMs = 5;

/** What the end of a call says of the service: what is the caller's own doing says nothing. */
function kindOf({ kind, reason }: Outcome): Outcome["kind"] {
  // It answered; what it needs did not.
  if (kind === "success" || reason === "dependency") return "success";
  if (reason === "aborted" || reason === "call" || reason === "shortage" || reason === "unsent")
    return "ignored";
  return "failure";
}
