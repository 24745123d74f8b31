/** Whether and when a call is tried again: decisions only, no timers and no I/O. */
import { fullJitterMs } from "../core/backoff.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";

export interface RetryRules {
  /** All tries counted; 1 means none again. */
  readonly attempts: number;
  /** Response statuses after which the call is tried again. */
  readonly statuses: ReadonlySet<number>;
  /** Methods that may run twice: of HTTP in upper case, of gRPC full paths. */
  readonly methods: ReadonlySet<string>;
  /** Of gRPC, whether a method may run twice is taken from its definition. */
  readonly byIdempotencyLevel?: boolean | undefined;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

/** What is known when an attempt has failed. */
export interface FailedAttempt {
  readonly outcome: Outcome;
  /** The number of the attempt that failed, from 1. */
  readonly number: number;
  /** Nothing of it reached the node: safe to send again whatever the method. */
  readonly unsent: boolean;
  /** The call may run twice, and its body can be sent again. */
  readonly repeatable: boolean;
  /** What the node asked for in Retry-After, if it will be asked again; else 0. */
  readonly retryAfterMs: number;
  /** Until the call's own deadline. */
  readonly remainingMs: number;
}

/** What is held against no node and yet is worth another try: it passes. */
const passing: ReadonlySet<string> = new Set(["shortage", "busy", "closing"]);

/**
 * How long to wait before the next attempt, or undefined when there must be none. The budget is the caller's to
 * ask, after this.
 *
 * A call that was provably not sent goes to another node at once the first time: waiting would only add
 * latency. Everything else waits with full jitter, so that many callers do not come back together.
 */
export function retryDelayMs(failed: FailedAttempt, rules: RetryRules, random: Random): number | undefined {
  if (failed.number >= rules.attempts) return undefined;
  if (!failed.unsent && !failed.repeatable) return undefined;
  const { outcome } = failed;
  if (outcome.kind === "success") return undefined;
  if (outcome.kind === "ignored" && !passing.has(outcome.reason)) return undefined;
  const step = failed.number - 1;
  const isFirstUnsent = failed.unsent && step === 0 && outcome.reason !== "shortage";
  const backoffMs = isFirstUnsent ? 0 : fullJitterMs(step, rules.backoffMs, rules.maxBackoffMs, random);
  const delayMs = Math.max(backoffMs, failed.retryAfterMs);
  return delayMs < failed.remainingMs ? delayMs : undefined;
}
