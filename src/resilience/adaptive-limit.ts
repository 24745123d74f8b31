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
 * - while the limit is hardly ever reached, which is nearly always;
 * - in an overload, in a lull with half as many calls as are being served: a fortieth of the time, and only while calls
 *   are refused anyway and seem to wait.
 * What seems to be a queue and is none, as calls take longer for good, shows in the same lull: they take as long at half the
 * load, and the limit grows. Between two lulls, a limit that has halved without calls becoming faster knows the same. So a slow
 * service behind the other side does not make it collapse. Only where most calls fail for lack of time it shrinks at once.
 *
 * A failed call counts as served for no longer than a successful one takes: those that end by their deadline waited.
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
/** How fast the time without a queue follows while there is none. */
const calmGain = 0.3;

/** Rounds and lulls have so many calls that their mean is off by a fifth, within these bounds. */
const leastSamples = 30;
const mostSamples = 400;
const samplesPerVariance = 25;
/**
 * A lull needs the limit to be reached for such a share of the time: at 80% of one worker's capacity, which is no overload, it
 * is for 17%. When nearly all wait, less will do, as a slight overload makes a deep queue too.
 */
const fullShare = 0.25;
const fullShareOfDeep = 0.1;
/** From one lull to the next, in durations of the former: half of the capacity for a fortieth of the time is about 1%. */
const lullsApart = 40;
/** More than this factor is a change and not chance. */
const surprise = 1.5;
/** What calls take at half the limit has to be at least this share of what they took before to show that none waited. */
const unchanged = 0.75;

export class AdaptiveLimit {
  readonly #min: number;
  readonly #max: number;
  #exact: number;
  #whole: number;
  #inflight = 0;
  /** What calls take when none waits; 0 while unknown. */
  #unqueuedMs = 0;
  /** The average of what calls take, and of its square. */
  #meanMs = 0;
  #meanSquare = 0;
  /** The least number of calls whose mean says something, by their variance. */
  #samples = leastSamples;
  #lull: Lull | undefined = undefined;
  #lullDueAt = Number.NEGATIVE_INFINITY;
  /** The highest limit lately, and what calls took under it. */
  #peak = 0;
  #peakMs = 0;
  /** In the last round most calls failed and waited; the round in which that ends is of both kinds, and says nothing. */
  #isOutage = false;
  /** So many calls that end next began in a lull or under a far higher limit, and say nothing of now. */
  #skipped = 0;

  // The round under way.
  #ended = 0;
  #succeeded = 0;
  #inflightSum = 0;
  #succeededMs = 0;
  #squaredMs = 0;
  #failedMs = 0;
  #startedAt = 0;
  /** How long the limit was reached, and since when it is. */
  #fullMs = 0;
  #fullSince: number | undefined = undefined;

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
    // Only then: what is not full must have room, and a lull may end in a deeper one.
    if (this.isFull && this.#lull?.isOver(now)) this.#endLull(this.#lull, now);
    if (this.isFull) return false;
    this.#inflight++;
    if (this.#inflight >= this.#whole) this.#fullSince ??= now;
    this.#lull?.began(now);
    return true;
  }

  /** A call that began has ended, after `latencyMs` from then. */
  end(kind: LimitedEnd, latencyMs: number, now: number): void {
    if (this.#inflight === 0) throw new Error("AdaptiveLimit: end() without a begin()");
    const inflight = this.#inflight--;
    if (this.#inflight < this.#whole) this.#endFull(now);
    const lull = this.#lull;
    if (lull !== undefined) {
      if (kind === "success") lull.succeeded(latencyMs, now);
      else lull.ignored(latencyMs, now);
      if (lull.isOver(now)) this.#endLull(lull, now);
    } else if (this.#skipped > 0) {
      this.#skipped--;
    } else if (kind !== "ignored") {
      this.#count(kind, latencyMs, inflight);
      // Twice as many as may be in flight: half of those that end in a round began under what was decided before it.
      if (this.#ended >= Math.max(this.#samples, 2 * this.#whole)) this.#endRound(now);
    }
  }

  #endFull(now: number): void {
    if (this.#fullSince === undefined) return;
    this.#fullMs += now - this.#fullSince;
    this.#fullSince = undefined;
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
    }
  }

  #endRound(now: number): void {
    const inflight = this.#inflightSum / this.#ended;
    this.#endFull(now);
    // Of the round's time, the share in which the limit was reached.
    const full = now > this.#startedAt ? this.#fullMs / (now - this.#startedAt) : 0;
    const wasOutage = this.#isOutage;
    const served = this.#servedShare();
    this.#isOutage = this.#succeeded * 2 < this.#ended && served < nearlyAllWait;
    if (this.#isOutage) {
      // For lack of time: what is in flight waits, or hangs, in vain, be it less than the limit. No lull could tell more, and
      // few in flight are enough to find out when it is over.
      this.#shrinkAtOnce(headroom * inflight * served + spare);
    } else if (!wasOutage) {
      const isHalfUsed = inflight >= this.#whole / 2;
      const isKnown = this.#unqueuedMs > 0;
      if (this.#succeeded > 0) {
        // With hardly a call that finds the limit reached, what calls take is what they take, be it half used or more.
        const isCalm = !isHalfUsed || full < fullShareOfDeep;
        this.#learn(this.#succeededMs / this.#succeeded, isCalm);
      }
      if (full > 0 && isHalfUsed && isKnown) this.#adapt(inflight, full, now);
    }
    this.#startRound(now);
  }

  #learn(meanMs: number, isCalm: boolean): void {
    const meanSquare = this.#squaredMs / this.#succeeded;
    this.#meanMs = this.#meanMs === 0 ? meanMs : blend(this.#meanMs, meanMs, calmGain);
    this.#meanSquare = this.#meanSquare === 0 ? meanSquare : blend(this.#meanSquare, meanSquare, calmGain);
    const variance = this.#meanMs > 0 ? Math.max(0, this.#meanSquare / this.#meanMs ** 2 - 1) : 0;
    this.#samples = Math.min(mostSamples, Math.max(leastSamples, Math.ceil(variance * samplesPerVariance)));
    // Under load only downwards, and only what is no chance (two deviations): whatever the queue, calls take no less on
    // average than they would without.
    const clearlyLessMs = this.#unqueuedMs * (1 - 2 * Math.sqrt(variance / this.#succeeded));
    if (this.#unqueuedMs === 0) this.#unqueuedMs = meanMs;
    else if (isCalm || meanMs < clearlyLessMs) {
      this.#unqueuedMs = blend(this.#unqueuedMs, meanMs, calmGain);
    }
  }

  #adapt(inflight: number, full: number, now: number): void {
    const meanMs = (this.#succeededMs + this.#failedMs) / this.#ended;
    this.#compareWithPeak(meanMs);
    const served = this.#servedShare();
    const neededFull = served < nearlyAllWait ? fullShareOfDeep : fullShare;
    const isOverload = full >= neededFull;
    if (served <= hardlyWaiting && isOverload && now >= this.#lullDueAt) {
      const level = Math.max(this.#min, 1, Math.floor((inflight * served) / 2));
      if (level < this.#whole) {
        this.#startLull(level, meanMs, now);
        return;
      }
    }
    const target = headroom * this.#exact * served + spare;
    if (target < this.#exact && !isOverload) return;
    if (served < nearlyAllWait) this.#shrinkAtOnce(target);
    else this.#set(served > hardlyWaiting ? target : blend(this.#exact, target, gain));
  }

  /**
   * A limit that shrank to half without calls becoming faster shows that none waited: what a lull found was too little, by
   * chance. Without this it would stay there until the next lull.
   */
  #compareWithPeak(meanMs: number): void {
    if (this.#exact < this.#peak && this.#exact > this.#peak / 2) return;
    if (this.#exact < this.#peak && meanMs >= this.#peakMs * unchanged) {
      this.#unqueuedMs = Math.max(this.#unqueuedMs, (meanMs + this.#peakMs) / 2);
    }
    this.#peak = this.#exact;
    this.#peakMs = meanMs;
  }

  /** Of the time that calls spent in flight, the share in which they were served; 1 while that is not known. */
  #servedShare(): number {
    const totalMs = this.#succeededMs + this.#failedMs;
    if (this.#unqueuedMs === 0 || totalMs === 0) return 1;
    const failedServedMs = Math.min(this.#failedMs, (this.#ended - this.#succeeded) * this.#unqueuedMs);
    const servedMs = this.#succeeded * this.#unqueuedMs + failedServedMs;
    return Math.min(1, servedMs / totalMs);
  }

  #set(exact: number): void {
    this.#exact = Math.min(this.#max, Math.max(this.#min, exact));
    this.#whole = Math.round(this.#exact);
  }

  #shrinkAtOnce(target: number): void {
    this.#set(Math.min(this.#exact, target));
    this.#skipped = this.#inflight;
  }

  #startRound(now: number): void {
    this.#ended = 0;
    this.#succeeded = 0;
    this.#inflightSum = 0;
    this.#succeededMs = 0;
    this.#squaredMs = 0;
    this.#failedMs = 0;
    this.#fullMs = 0;
    this.#fullSince = this.#inflight >= this.#whole ? now : undefined;
    this.#startedAt = now;
  }

  #startLull(level: number, meanMs: number, now: number): void {
    // With many at once more samples take no longer.
    const samples = Math.max(this.#samples, 2 * level);
    // Four times as long as it should take: the calls from before, the samples one after the other, and the last of them.
    const longestMs = 4 * meanMs * (2 + samples / level);
    this.#lull = new Lull(level, samples, now, longestMs);
  }

  #endLull(lull: Lull, now: number): void {
    this.#lull = undefined;
    this.#skipped = this.#inflight;
    this.#startRound(now);
    const foundMs = lull.meanMs() ?? this.#unqueuedMs;
    const factor = foundMs / this.#unqueuedMs;
    const isSurprise = factor > surprise || factor < 1 / surprise;
    this.#unqueuedMs = isSurprise ? foundMs : blend(this.#unqueuedMs, foundMs, calmGain);
    this.#lullDueAt = isSurprise ? now : now + (now - lull.startedAt) * lullsApart;
    const level = Math.max(this.#min, Math.floor(lull.level / 2));
    // They waited even so: on to half of that at once, until they do not.
    if (factor < 1 / surprise && level < lull.level) this.#startLull(level, foundMs, now);
  }
}
