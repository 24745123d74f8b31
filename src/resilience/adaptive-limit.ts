/**
 * How many calls may be in flight at once, found by itself: enough to keep the other side busy, and a short queue.
 *
 * Whenever the limit was reached, a round compares what calls take with what they take without a queue:
 * `limit * 1.3 * (time without a queue / time) + 1.5`. The fraction is, by Little's law, the share of the calls in flight
 * that are being served and do not wait. So the limit grows while none waits, and comes to rest at 1.3 of what the other
 * side serves at once plus 1.5: 3 for one worker (with 2 it would idle for 8% of the time), 28 for twenty.
 *
 * The weak point of such limits is how they know the time without a queue. The least time (Vegas, Envoy) is far off where
 * calls differ; an average (Gradient2) drifts up in a lasting overload until there is no limit; to let next to nothing
 * through now and then (Envoy) sheds calls of healthy services. Here it is what calls take
 * - while less than half of the limit is in use, which is nearly always;
 * - in an overload, in a lull with half as many calls as are being served: a fortieth of the time, and only while calls
 *   are refused anyway and seem to wait.
 * What seems to be a queue and is none, as calls take longer for good, shows in the same lull: they take as long at half the
 * load, and the limit stays. No limit shrinks without such a proof, so that a slow service behind the other side does not
 * make it collapse.
 *
 * A call that failed counts for half of one that succeeded: a limit is not for keeping busy with failures.
 */
import { blend } from "../core/ewma.ts";
import { Lull } from "./lull.ts";

export interface AdaptiveLimitRules {
  /** From 1. */
  readonly min: number;
  readonly max: number;
  readonly initial: number;
}

/** How a call ended. `ignored` says nothing of the other side; its place is free again, and that is all. */
export type LimitedEnd = "success" | "failure" | "ignored";

/**
 * Where the limit comes to rest: for one worker, arrivals by chance and three times what it can do, 3 in flight give 97.5% of
 * its capacity and a queue of 1.6 service times; 2 would give 92%, and 4 a queue of 2.6 (M/M/1/K).
 */
const headroom = 1.3;
const spare = 1.5;
/** Shrinking, and growing while some wait, goes a part of the way each round: a round's mean is off by a fifth. */
const gain = 0.3;
/** With no more than this share being served the limit is several times too high, whatever the round is off by. */
const nearlyAllWait = 0.25;
/** With more than this share being served, what the rest seems to wait is chance. */
const hardlyWaiting = 0.9;
/** A round is at least so many calls, and twice as many as may be in flight. */
const leastRound = 20;
/** How fast the time without a queue follows while there is none. */
const calmGain = 0.3;
const failureWorth = 0.5;

/** A lull takes so many samples that their mean is off by a quarter, within these bounds. */
const leastSamples = 20;
const mostSamples = 400;
const samplesPerVariance = 16;
/** From one lull to the next, in durations of the former: half of the capacity for a fortieth of the time is about 1%. */
const lullsApart = 40;
/** A lull that finds more than this factor of a change is believed as it is, up to twice, and soon followed by another. */
const surprise = 1.5;
const mostChange = 2;

export class AdaptiveLimit {
  readonly #min: number;
  readonly #max: number;
  #exact: number;
  #whole: number;
  #inflight = 0;
  /** What calls take when none waits; 0 while unknown. */
  #unqueuedMs = 0;
  /** Squared deviation of what calls take over the squared mean. */
  #variance = 1;
  #lull: Lull | undefined = undefined;
  #lullDueAt = Number.NEGATIVE_INFINITY;
  /** How many calls were in flight before the lull, and what they took. */
  #priorInflight = 0;
  #priorMs = 0;
  /** So many calls that end next began in a lull or under a far higher limit, and say nothing of now. */
  #skipped = 0;

  // The round under way.
  #ended = 0;
  #succeeded = 0;
  #inflightSum = 0;
  #succeededMs = 0;
  #squaredMs = 0;
  #failedMs = 0;
  #failedServedMs = 0;
  #wasReached = false;

  constructor({ min, max, initial }: AdaptiveLimitRules) {
    this.#min = min;
    this.#max = max;
    this.#exact = Math.min(max, Math.max(min, initial));
    this.#whole = Math.round(this.#exact);
  }

  /** How many may be in flight, lulls apart. */
  get limit(): number {
    return this.#whole;
  }

  get inflight(): number {
    return this.#inflight;
  }

  /** Whether `begin` would say no. */
  get isFull(): boolean {
    return this.#inflight >= (this.#lull?.level ?? this.#whole);
  }

  /** Counts a call that begins; false, and nothing counted, at the limit. */
  begin(now: number): boolean {
    if (this.#lull?.isOver(now)) this.#endLull(this.#lull, now);
    if (this.isFull) {
      this.#wasReached = true;
      return false;
    }
    this.#inflight++;
    if (this.#inflight >= this.#whole) this.#wasReached = true;
    this.#lull?.began(now);
    return true;
  }

  /** A call that began has ended, after `latencyMs` from then. */
  end(kind: LimitedEnd, latencyMs: number, now: number): void {
    if (this.#inflight === 0) throw new Error("AdaptiveLimit: end() without a begin()");
    const inflight = this.#inflight--;
    const lull = this.#lull;
    if (lull !== undefined) {
      if (kind === "ignored") lull.ignored(latencyMs, now);
      else lull.ended(latencyMs, now);
      if (lull.isOver(now)) this.#endLull(lull, now);
    } else if (this.#skipped > 0) {
      this.#skipped--;
    } else if (kind !== "ignored") {
      this.#count(kind, latencyMs, inflight);
      if (this.#ended >= Math.max(leastRound, 2 * this.#whole)) this.#endRound(now);
    }
  }

  #count(kind: "success" | "failure", latencyMs: number, inflight: number): void {
    this.#ended++;
    this.#inflightSum += inflight;
    if (kind === "success") {
      this.#succeeded++;
      this.#succeededMs += latencyMs;
      this.#squaredMs += latencyMs * latencyMs;
    } else {
      this.#failedMs += latencyMs;
      this.#failedServedMs += Math.min(latencyMs, this.#unqueuedMs);
    }
  }

  #endRound(now: number): void {
    const meanMs = this.#succeededMs / this.#succeeded;
    const inflight = this.#inflightSum / this.#ended;
    const isHalfUsed = inflight >= this.#whole / 2;
    const isKnown = this.#unqueuedMs > 0;
    if (this.#succeeded > 0) this.#learn(meanMs, isHalfUsed);
    if (this.#wasReached && isHalfUsed && isKnown) this.#adapt(inflight, now);
    this.#startRound();
  }

  #learn(meanMs: number, isHalfUsed: boolean): void {
    if (meanMs > 0) {
      const variance = this.#squaredMs / this.#succeeded / (meanMs * meanMs) - 1;
      this.#variance = blend(this.#variance, Math.max(0, variance), calmGain);
    }
    // Under load only downwards, and only what is no chance (two deviations): whatever the queue, calls take no less on
    // average than they would without.
    const clearlyLessMs = this.#unqueuedMs * (1 - 2 * Math.sqrt(this.#variance / this.#succeeded));
    if (this.#unqueuedMs === 0) this.#unqueuedMs = meanMs;
    else if (!isHalfUsed || meanMs < clearlyLessMs) {
      this.#unqueuedMs = blend(this.#unqueuedMs, meanMs, calmGain);
    }
  }

  #adapt(inflight: number, now: number): void {
    const totalMs = this.#succeededMs + this.#failedMs;
    const succeededServedMs = this.#succeeded * this.#unqueuedMs;
    const served = totalMs > 0 ? Math.min(1, (succeededServedMs + this.#failedServedMs) / totalMs) : 1;
    const worth =
      totalMs > 0 ? Math.min(1, (succeededServedMs + failureWorth * this.#failedServedMs) / totalMs) : 1;
    if (worth <= hardlyWaiting && now >= this.#lullDueAt) {
      const level = Math.max(this.#min, 1, Math.floor((inflight * served) / 2));
      if (level < this.#whole) {
        this.#startLull(level, inflight, totalMs / this.#ended, now);
        return;
      }
    }
    const target = headroom * this.#exact * worth + spare;
    if (worth < nearlyAllWait) this.#shrinkAtOnce(target);
    else this.#set(worth > hardlyWaiting ? target : blend(this.#exact, target, gain));
  }

  #set(exact: number): void {
    this.#exact = Math.min(this.#max, Math.max(this.#min, exact));
    this.#whole = Math.round(this.#exact);
  }

  #shrinkAtOnce(target: number): void {
    this.#set(Math.min(this.#exact, target));
    this.#skipped = this.#inflight;
  }

  #startRound(): void {
    this.#ended = 0;
    this.#succeeded = 0;
    this.#inflightSum = 0;
    this.#succeededMs = 0;
    this.#squaredMs = 0;
    this.#failedMs = 0;
    this.#failedServedMs = 0;
    this.#wasReached = false;
  }

  #startLull(level: number, inflight: number, meanMs: number, now: number): void {
    const samples = Math.min(
      mostSamples,
      Math.max(leastSamples, Math.ceil(this.#variance * samplesPerVariance)),
    );
    // Four times as long as it should take: the calls from before, the samples one after the other, and the last of them.
    const longestMs = 4 * meanMs * (2 + samples / level);
    this.#lull = new Lull(level, samples, now, longestMs);
    this.#priorInflight = inflight;
    this.#priorMs = meanMs;
  }

  #endLull(lull: Lull, now: number): void {
    this.#lull = undefined;
    this.#skipped = this.#inflight;
    this.#startRound();
    const foundMs = lull.meanMs() ?? this.#unqueuedMs;
    const factor = foundMs / this.#unqueuedMs;
    const isSurprise = factor > surprise || factor < 1 / surprise;
    this.#lullDueAt = isSurprise ? now : now + lullsApart * (now - lull.startedAt);
    const nextMs = this.#unqueuedMs * Math.min(mostChange, Math.max(1 / mostChange, factor));
    this.#unqueuedMs = isSurprise ? nextMs : blend(this.#unqueuedMs, nextMs, calmGain);
    const level = Math.max(this.#min, Math.floor(lull.level / 2));
    if (factor < 1 / surprise && level < lull.level) {
      // They waited even so: on to half of that at once, until they do not.
      this.#startLull(level, lull.level, foundMs, now);
    } else {
      const served = this.#priorInflight * Math.min(1, foundMs / this.#priorMs);
      const target = headroom * served + spare;
      if (target < this.#exact * nearlyAllWait) this.#shrinkAtOnce(target);
    }
  }
}
