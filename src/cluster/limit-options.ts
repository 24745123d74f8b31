/** The options that keep calls back: limits, breaker and hedging, what they mean, and the rules that they come to. */
import { longestTimerMs, OptionReader, show } from "../core/option-reader.ts";
import type { SharedLimiter } from "../resilience/shared-rate.ts";

export interface AdaptiveLimitOptions {
  /** The limit is never below. Default 1: one call has to be under way for the service to be judged by. */
  readonly min?: number | undefined;
  /** The limit is never above. Default `limits.inflight`, or else 1,000. */
  readonly max?: number | undefined;
  /** Where it begins. Default 100, within the two: the first burst of a healthy service is not refused. */
  readonly initial?: number | undefined;
}

export interface LimitOptions {
  /** The most calls at once, over all nodes. A call is under way until its body ends. Default: no limit. */
  readonly inflight?: number | undefined;
  /**
   * Finds the most calls at once by what the service gets done and how long it takes: `true`, or where to look for it.
   * Default false.
   */
  readonly adaptive?: boolean | AdaptiveLimitOptions | undefined;
  /**
   * The most calls that wait for one of the places that `inflight` or `adaptive` gives. Default 100 with `adaptive`,
   * which is still finding out how many there are; else 0: none waits.
   */
  readonly queue?: number | undefined;
  /** The longest that a call waits for its place, in milliseconds. Default 1,000, as for a connection. */
  readonly queueMs?: number | undefined;
  /**
   * The most calls in a second, spread by a token bucket; or a limiter that several processes share, such as
   * RateLimiterRedis of `rate-limiter-flexible`. One call over it is refused with ERR_RATE_LIMITED. Default: no limit.
   */
  readonly ratePerSecond?: number | SharedLimiter | undefined;
  /** How many calls may go at once after a pause. Default: what `ratePerSecond` gives in one second, at least 1. */
  readonly burst?: number | undefined;
}

export interface BreakerRateOptions {
  /**
   * How many times what is answered may be sent before calls are refused, from 1.01. Default 2 (SRE book): less than
   * half of the calls have to be answered for the first one to be refused.
   */
  readonly ratio?: number | undefined;
  /**
   * What it looks back on, in milliseconds. Default 2,000: how long an outage takes to be known for what it is, and to be
   * forgotten after its end.
   */
  readonly windowMs?: number | undefined;
  /** Calls within the window below which nothing is refused. Default 20. */
  readonly minimumCalls?: number | undefined;
}

export interface BreakerOptions {
  /** The most calls under way. Default 1,024 (Envoy's max_requests). */
  readonly inflight?: number | undefined;
  /** The most calls that wait for a place or a connection. Default 1,024 (Envoy's max_pending_requests). */
  readonly queued?: number | undefined;
  /**
   * The most retries and hedges under way. Default: a fifth of the calls under way, at least 3 (Envoy's retry budget).
   */
  readonly retries?: number | undefined;
  /** The most connections; `connections.total` if that is less. Default: `connections.total`. */
  readonly connections?: number | undefined;
  /** Refusing calls in proportion to those that are not answered; `false` switches it off. On by default. */
  readonly rate?: false | BreakerRateOptions | undefined;
}

/** When a call is sent a second time: after a fixed time, or when it is slower than this share of calls. */
export type HedgeOptions =
  | {
      /** Milliseconds after which the second one goes. */
      readonly afterMs: number;
      readonly percentile?: undefined;
    }
  | {
      /**
       * From 50 to 99.99, or from 0.5 as a share: with 95 or 0.95, after the time in which 95% of calls were answered
       * over the last minute. None goes before enough were seen.
       */
      readonly percentile: number;
      readonly afterMs?: undefined;
    };

export interface LimitRules {
  readonly inflight: number | undefined;
  readonly adaptive: { readonly min: number; readonly max: number; readonly initial: number } | undefined;
  readonly queue: number;
  readonly queueMs: number;
  readonly rate: { readonly ratePerSecond: number; readonly burst: number } | SharedLimiter | undefined;
}

export interface BreakerRules {
  readonly inflight: number;
  readonly queued: number;
  /** Undefined: in proportion to the calls under way. */
  readonly retries: number | undefined;
  readonly connections: number | undefined;
  readonly rate:
    | { readonly ratio: number; readonly windowMs: number; readonly minimumCalls: number }
    | undefined;
}

export interface HedgeRules {
  readonly afterMs: number | undefined;
  /** From 0 to 1. */
  readonly share: number | undefined;
}

const noLimit = Number.POSITIVE_INFINITY;

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveLimits(given: unknown): LimitRules | undefined {
  if (given === undefined) return undefined;
  const options = new OptionReader(given, "limits");
  const inflight = optionalNumber(options, "inflight", { min: 1, integer: true });
  const adaptive = resolveAdaptive(options.value("adaptive"), inflight);
  const limits: LimitRules = {
    inflight,
    adaptive,
    queue: options.number("queue", { default: adaptive === undefined ? 0 : 100, min: 0, integer: true }),
    queueMs: options.number("queueMs", { default: 1_000, min: 0, max: longestTimerMs }),
    rate: resolveRate(options),
  };
  options.end();
  if (limits.queue > 0 && inflight === undefined && adaptive === undefined) {
    throw new TypeError("limits.queue needs limits.inflight or limits.adaptive: nothing else is waited for");
  }
  return limits;
}

function resolveAdaptive(given: unknown, inflight: number | undefined): LimitRules["adaptive"] {
  if (given === undefined || given === false) return undefined;
  const options = new OptionReader(given === true ? {} : given, "limits.adaptive");
  const min = options.number("min", { default: 1, min: 1, integer: true });
  const max = options.number("max", { default: inflight ?? Math.max(min, 1_000), min, integer: true });
  const initial = options.number("initial", {
    default: Math.min(max, Math.max(min, 100)),
    min,
    max,
    integer: true,
  });
  options.end();
  if (inflight !== undefined && max > inflight) {
    throw new RangeError(`limits.adaptive.max must be at most limits.inflight (${inflight}), got ${max}`);
  }
  return { min, max, initial };
}

function resolveRate(options: OptionReader): LimitRules["rate"] {
  const given = options.value("ratePerSecond");
  if (typeof given === "object" && given !== null) {
    if (options.value("burst") !== undefined) {
      throw new TypeError("limits.burst is for a rate of this process's own; a shared limiter has its own");
    }
    return options.object<SharedLimiter>("ratePerSecond", ["consume"]);
  }
  const ratePerSecond = optionalNumber(options, "ratePerSecond", { min: 0.001, max: 1e9 });
  const burst = optionalNumber(options, "burst", { min: 1, integer: true });
  if (ratePerSecond !== undefined) {
    return { ratePerSecond, burst: burst ?? Math.max(1, Math.floor(ratePerSecond)) };
  }
  if (burst !== undefined) throw new TypeError("limits.burst needs limits.ratePerSecond");
  return undefined;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveBreaker(given: unknown): BreakerRules | undefined {
  if (given === undefined || given === false) return undefined;
  const options = new OptionReader(given === true ? {} : given, "breaker");
  const breaker: BreakerRules = {
    inflight: options.number("inflight", { default: 1_024, min: 1, max: noLimit }),
    queued: options.number("queued", { default: 1_024, min: 1, max: noLimit }),
    retries: optionalNumber(options, "retries", { min: 0, max: noLimit }),
    connections: optionalNumber(options, "connections", { min: 1, integer: true }),
    rate: resolveBreakerRate(options),
  };
  options.end();
  return breaker;
}

function resolveBreakerRate(breaker: OptionReader): BreakerRules["rate"] {
  if (breaker.value("rate") === false) return undefined;
  const options = breaker.nested("rate");
  const rate = {
    ratio: options.number("ratio", { default: 2, min: 1.01, max: 1_000 }),
    windowMs: options.number("windowMs", { default: 2_000, min: 100, max: 600_000 }),
    minimumCalls: options.number("minimumCalls", { default: 20, min: 1, integer: true }),
  };
  options.end();
  return rate;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveHedge(given: unknown): HedgeRules | undefined {
  if (given === undefined || given === false) return undefined;
  const options = new OptionReader(given, "hedge");
  const afterMs = optionalNumber(options, "afterMs", { min: 0, max: longestTimerMs });
  const percentile = optionalNumber(options, "percentile", { min: 0.5, max: 99.99 });
  options.end();
  if ((afterMs === undefined) === (percentile === undefined)) {
    throw new TypeError("hedge must have either afterMs or percentile");
  }
  if (percentile !== undefined && percentile >= 1 && percentile < 50) {
    throw new RangeError(
      `hedge.percentile must be from 50 to 99.99, or from 0.5 as a share, got ${percentile}`,
    );
  }
  const share = percentile === undefined || percentile < 1 ? percentile : percentile / 100;
  return { afterMs, share };
}

/** @throws TypeError for what cannot be the name of a header. */
export function resolveDeadlineHeader(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) {
    throw new TypeError(`deadlineHeader must be the name of a header, got ${show(name)}`);
  }
  return name.toLowerCase();
}

function optionalNumber(
  options: OptionReader,
  name: string,
  rule: { min: number; max?: number; integer?: boolean },
): number | undefined {
  return options.value(name) === undefined ? undefined : options.number(name, { ...rule, default: rule.min });
}
