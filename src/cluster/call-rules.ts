/** What holds for one call: the cluster's own rules, or those of a view made by `with`. */
import type { CallPriority } from "../core/contracts.ts";
import { longestTimerMs, OptionReader, show } from "../core/option-reader.ts";
import type { RetryRules } from "../resilience/retry.ts";
import type { RetryBudgetOptions } from "../resilience/retry-budget.ts";
import type { ResolvedOptions, RetryOptions } from "./options.ts";

/** Options for some calls; whatever is left out is as it is for all others. */
export interface WithOptions {
  readonly totalMs?: number | undefined;
  readonly attemptMs?: number | undefined;
  /** As the option `retry`, field by field; the budget stays that of the whole service. */
  readonly retry?: false | Omit<RetryOptions, "budget"> | undefined;
  /** What hashing policies hash. */
  readonly hashKey?: string | undefined;
  /** The zone that these calls prefer. */
  readonly zone?: string | undefined;
  /**
   * How much these calls matter: who goes first where calls wait for a place (`limits.queue`), and the header
   * `evenkeel-priority` where it is not "default". Default: that of the call whose handler makes them, else "default".
   */
  readonly priority?: CallPriority | undefined;
  /** Whether these calls may run twice, whatever their method. */
  readonly idempotent?: boolean | undefined;
}

/** Made once for many calls. */
export interface CallRules {
  /** `Infinity` for none. */
  readonly totalMs: number;
  readonly attemptMs: number;
  readonly retry: RetryRules;
  readonly hashKey: string | undefined;
  readonly zone: string | undefined;
  readonly priority: CallPriority;
  /** Undefined: by method and headers. */
  readonly idempotent: boolean | undefined;
}

const retryDefaults: RetryRules = {
  attempts: 3,
  statuses: new Set([502, 503, 504]),
  methods: new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]),
  backoffMs: 25,
  maxBackoffMs: 250,
};

/** The rules that hold where no view says otherwise. */
export function rulesOf(options: ResolvedOptions): CallRules {
  const { timeouts, retry, zone } = options;
  const { totalMs, attemptMs } = timeouts;
  return { totalMs, attemptMs, retry, hashKey: undefined, zone, priority: "default", idempotent: undefined };
}

/**
 * @param path where in the caller's options these stand, for error messages.
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function resolveRules(base: CallRules, given: WithOptions, path: string): CallRules {
  const reader = new OptionReader(given, path);
  const rules = readRules(reader, base);
  reader.end();
  return rules;
}

/** The same out of options that hold more than rules. */
export function readRules(reader: OptionReader, base: CallRules): CallRules {
  const retry = reader.value("retry");
  return {
    totalMs: reader.number("totalMs", { default: base.totalMs, min: 1, max: longestTimerMs }),
    attemptMs: reader.number("attemptMs", { default: base.attemptMs, min: 1, max: longestTimerMs }),
    retry: retry === undefined ? base.retry : resolveRetryRules(retry, base.retry),
    hashKey: reader.string("hashKey") ?? base.hashKey,
    zone: reader.string("zone") ?? base.zone,
    priority: reader.word("priority", ["critical", "default", "sheddable"], base.priority),
    idempotent:
      reader.value("idempotent") === undefined ? base.idempotent : reader.boolean("idempotent", false),
  };
}

/** The option `retry` of a whole cluster. */
export function resolveRetry(given: unknown): Pick<ResolvedOptions, "retry" | "retryBudget"> {
  const options = openRetry(given);
  const retry = readRetryRules(options, retryDefaults);
  const withoutBudget = options.value("budget") === false;
  const retryBudget = withoutBudget ? undefined : resolveBudget(options.nested("budget"));
  options.end();
  return { retry, retryBudget };
}

function resolveRetryRules(given: unknown, base: RetryRules): RetryRules {
  const options = openRetry(given);
  const rules = readRetryRules(options, base);
  options.end();
  return rules;
}

function openRetry(given: unknown): OptionReader {
  return new OptionReader(given === false ? { attempts: 1 } : given, "retry");
}

function readRetryRules(options: OptionReader, base: RetryRules): RetryRules {
  const byLevel = options.value("methods") === "idempotency_level";
  return {
    attempts: options.number("attempts", { default: base.attempts, min: 1, max: 100, integer: true }),
    statuses: new Set(options.array("statuses", [...base.statuses]).map(checkStatus)),
    methods: byLevel ? new Set() : new Set(options.array("methods", [...base.methods]).map(checkMethod)),
    byIdempotencyLevel:
      byLevel || (options.value("methods") === undefined && base.byIdempotencyLevel) || undefined,
    backoffMs: options.number("backoffMs", { default: base.backoffMs, min: 0, max: longestTimerMs }),
    maxBackoffMs: options.number("maxBackoffMs", { default: base.maxBackoffMs, min: 0, max: longestTimerMs }),
  };
}

function resolveBudget(options: OptionReader): RetryBudgetOptions {
  const budget = {
    ratio: options.number("ratio", { default: 0.2, min: 0, max: 100 }),
    minPerSecond: options.number("minPerSecond", { default: 10, min: 0, max: 1_000_000 }),
  };
  options.end();
  return budget;
}

function checkStatus(status: unknown): number {
  if (!Number.isInteger(status) || (status as number) < 200 || (status as number) > 599) {
    throw new RangeError(`retry.statuses must hold HTTP statuses from 200 to 599, got ${show(status)}`);
  }
  return status as number;
}

function checkMethod(method: unknown): string {
  if (typeof method !== "string" || method === "") {
    throw new TypeError(`retry.methods must hold method names, got ${show(method)}`);
  }
  // A path of gRPC tells upper from lower case.
  return method.startsWith("/") ? method : method.toUpperCase();
}
