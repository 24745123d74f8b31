/** The options of a view as people and logs see them. What is hashed stays out: it may be a user's or a session's. */
import type { CallRules } from "./call-rules.ts";

export interface RulesSummary {
  /** Undefined for none. */
  readonly totalMs: number | undefined;
  readonly attemptMs: number;
  readonly attempts: number;
  readonly zone: string | undefined;
  /** Undefined: by method and headers. */
  readonly idempotent: boolean | undefined;
}

export function summarizeRules({ totalMs, attemptMs, retry, zone, idempotent }: CallRules): RulesSummary {
  return {
    totalMs: totalMs === Number.POSITIVE_INFINITY ? undefined : totalMs,
    attemptMs,
    attempts: retry.attempts,
    zone,
    idempotent,
  };
}

/** `totalMs 500, attemptMs 100, attempts 3`. */
export function describeRules(rules: CallRules): string {
  return Object.entries(summarizeRules(rules))
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
