/**
 * The rate breaker: sheds calls in proportion to how badly a service answers, and lets go by itself.
 *
 * After the client-side throttling of the SRE book ("Handling Overload"): with K = 2 a service that accepts half of what
 * it is sent is left alone, and below that calls are admitted at K times the share that succeeds. Three things differ:
 * - That share is of the calls that were sent, not of all that were asked for. In the book's formula each call that is
 *   shed lowers the share further, and once all is shed one success can only pay for two more calls: from a total outage it
 *   takes some ten windows' worth of e-folding to come back. Sent calls alone tell of a return within a few trials.
 * - A hang counts while it lasts: a call that takes four times as long as calls do counts as failed from then on, until it
 *   succeeds after all. So nothing has to wait for a deadline of 30 s, and a service that is always slow is not blamed.
 * - During a total outage a few trials a second go out whatever the chance; and one lucky one opens nothing, since shed
 *   calls count as up to ten failures.
 */
import { blend } from "../core/ewma.ts";
import type { Random } from "../core/random.ts";
import { SlidingSum } from "../core/window.ts";

export interface ThrottleRules {
  /** K: how many calls are admitted for each that succeeds, above 1. Default 2. */
  readonly ratio?: number | undefined;
  /**
   * How far back it looks. Default 2,000: an outage is known as such for what it is when 0.9 of a window has passed, and
   * forgotten a window after its end. The SRE book's two minutes are for services of thousands of clients that reject
   * what is too much; a caller whose calls hang has used up everything by then.
   */
  readonly windowMs?: number | undefined;
  /** With fewer calls in the window none is shed: chance would decide. Default 20. */
  readonly minimumCalls?: number | undefined;
}

/** How a call ended. `ignored` says nothing of the service: the caller's own trouble, or another service's. */
export type ThrottledEnd = "success" | "failure" | "ignored";

/** The window's slots. */
const slots = 20;
/** A call hangs when it takes so many times the average ... */
const overdueFactor = 4;
/** ... and at least this long: a pause of this process or of a collector is no hang. */
const leastOverdueMs = 100;
/** Gain of the average, and how many successes it needs. */
const latencyGain = 0.02;
const minimumSamples = 20;
/** Shed calls count as failures up to this number: about as many as a decision should rest on. */
const doubt = 10;
/** Trials in a total outage: of the calls that are asked for one in twenty, at most 5 a second, at least 1. */
const trialShare = 0.05;
const mostTrialsPerSecond = 5;
const leastTrialsPerSecond = 1;

/** Calls that began at about the same time and have not ended; a batch is open until another one begins. */
class Batch {
  inflight = 0;
  firstAt = 0;
  lastAt = 0;
  overdueAt = Number.NEGATIVE_INFINITY;
}
/** Batches that are told apart, in a ring. With 16 to the time after which a call is overdue, they span four such times. */
const batchCount = 64;
const batchesPerOverdue = 16;
/** The span of a batch while it is not known what is overdue. */
const firstBatchMs = 100;

export class Throttle {
  readonly #ratio: number;
  readonly #windowMs: number;
  readonly #minimumCalls: number;
  readonly #random: Random;
  readonly #good: SlidingSum;
  readonly #bad: SlidingSum;
  readonly #shed: SlidingSum;
  readonly #batches: readonly Batch[] = Array.from({ length: batchCount }, () => new Batch());
  /** The number of the newest batch; batch `n` lives in place `n % batchCount`. */
  #newest = 0;
  /** The oldest batch whose calls have not been found overdue. */
  #oldest = 0;
  /** The newest batch that had to leave the ring before it was overdue: its calls count when they end. */
  #forgotten = -1;
  #trialAt = Number.NEGATIVE_INFINITY;
  #averageMs = 0;
  #samples = 0;

  constructor(rules: ThrottleRules, random: Random) {
    const { ratio = 2, windowMs = 2_000, minimumCalls = 20 } = rules;
    this.#ratio = ratio;
    this.#windowMs = windowMs;
    this.#minimumCalls = minimumCalls;
    this.#random = random;
    this.#good = new SlidingSum(windowMs, slots);
    this.#bad = new SlidingSum(windowMs, slots);
    this.#shed = new SlidingSum(windowMs, slots);
  }

  /** The share of calls that is admitted now, trials apart: from 0 to 1. */
  share(now: number): number {
    this.#findOverdue(now);
    const shed = this.#shed.sum(now);
    const good = this.#good.sum(now);
    const sent = good + Math.max(0, this.#bad.sum(now));
    if (sent + shed < this.#minimumCalls) return 1;
    return Math.min(1, (this.#ratio * good) / (sent + Math.min(shed, doubt)));
  }

  /** Whether a call may go out. One that may not is counted as shed. */
  admits(now: number): boolean {
    const share = this.share(now);
    if (share >= 1 || this.#random() < share || this.#isTrialDue(now)) return true;
    this.#shed.add(1, now);
    return false;
  }

  /** A call goes out. Returns the ticket that `ended` wants. */
  began(now: number): number {
    let batch = this.#batches[this.#newest % batchCount] as Batch;
    const overdueMs = this.#overdueMs();
    const spanMs = overdueMs === Number.POSITIVE_INFINITY ? firstBatchMs : overdueMs / batchesPerOverdue;
    if (now - batch.firstAt >= spanMs || this.#oldest > this.#newest) {
      this.#newest++;
      if (this.#newest - this.#oldest >= batchCount) this.#forgotten = this.#oldest++;
      batch = this.#batches[this.#newest % batchCount] as Batch;
      batch.inflight = 0;
      batch.firstAt = now;
    }
    batch.inflight++;
    batch.lastAt = now;
    return this.#newest;
  }

  /** The call of the ticket ended. */
  ended(ticket: number, kind: ThrottledEnd, latencyMs: number, now: number): void {
    this.#findOverdue(now);
    const wasOverdue = ticket < this.#oldest && ticket > this.#forgotten;
    if (ticket >= this.#oldest) (this.#batches[ticket % batchCount] as Batch).inflight--;
    if (kind === "success") {
      this.#good.add(1, now);
      if (wasOverdue && this.#isInWindow(ticket, now)) this.#bad.add(-1, now);
      this.#observe(latencyMs);
    } else if (!wasOverdue && (kind === "failure" || this.#isLong(latencyMs))) {
      this.#bad.add(1, now);
    }
  }

  /** Whether the call's being overdue still counts. */
  #isInWindow(ticket: number, now: number): boolean {
    if (ticket <= this.#newest - batchCount) return false;
    return now - (this.#batches[ticket % batchCount] as Batch).overdueAt < this.#windowMs;
  }

  /** Given up after much more than calls take: whoever is less patient than our floor for hangs tells of one too. */
  #isLong(latencyMs: number): boolean {
    return this.#samples >= minimumSamples && latencyMs > this.#averageMs * overdueFactor;
  }

  #overdueMs(): number {
    if (this.#samples < minimumSamples) return Number.POSITIVE_INFINITY;
    return Math.max(leastOverdueMs, this.#averageMs * overdueFactor);
  }

  #findOverdue(now: number): void {
    const overdueMs = this.#overdueMs();
    for (; this.#oldest <= this.#newest; this.#oldest++) {
      const batch = this.#batches[this.#oldest % batchCount] as Batch;
      if (batch.inflight > 0) {
        if (now - batch.lastAt <= overdueMs) return;
        this.#bad.add(batch.inflight, now);
        batch.inflight = 0;
        batch.overdueAt = now;
      } else if (this.#oldest === this.#newest) return;
    }
  }

  #observe(latencyMs: number): void {
    const overdueMs = this.#overdueMs();
    this.#samples++;
    // The plain average at first. After a hang its calls may all succeed late at once: they must not make hangs the rule.
    const gain = Math.max(latencyGain, 1 / this.#samples);
    this.#averageMs = blend(this.#averageMs, Math.min(latencyMs, 2 * overdueMs), gain);
  }

  #isTrialDue(now: number): boolean {
    const asked = this.#shed.sum(now) + this.#good.sum(now) + Math.max(0, this.#bad.sum(now));
    const perSecond = (asked * 1_000) / this.#windowMs;
    const trials = Math.min(mostTrialsPerSecond, Math.max(leastTrialsPerSecond, perSecond * trialShare));
    if (now - this.#trialAt < 1_000 / trials) return false;
    this.#trialAt = now;
    return true;
  }
}
