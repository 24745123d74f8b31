/** The option `health`: how bad nodes are found out, how they come back, and what happens when all are bad. */
import type { HealthCheck } from "../core/health-check.ts";
import { longestTimerMs, type OptionReader } from "../core/option-reader.ts";
import type { EjectionRules } from "../health/ejection.ts";

export interface EjectionOptions {
  /** Failures in a row that eject a node. Default 5 (Envoy, Finagle). */
  readonly consecutiveFailures?: number | undefined;
  /** Share of failed attempts within 10 s that ejects, from 0.01 to 1. Default 0.5. */
  readonly failureRate?: number | undefined;
  /** Attempts within 10 s below which the share says nothing. Default 20. */
  readonly minimumCalls?: number | undefined;
  /** The first time out; doubles with each further one. Default 5,000. */
  readonly baseMs?: number | undefined;
  /** The longest time out. Default 60,000. */
  readonly maxMs?: number | undefined;
}

export interface HealthOptions {
  /**
   * Asks each node how it is: `httpCheck({ path: "/health" })`, `tcpCheck()`. A node whose check fails gets no calls,
   * not even trials; one that calls found bad is not brought back by it. Off by default: calls notice bad nodes, and
   * nobody but the service knows what to ask for.
   */
  readonly check?: HealthCheck | undefined;
  /** Taking nodes out because of the outcomes of calls; `false` switches it off. On by default. */
  readonly ejection?: false | EjectionOptions | undefined;
  /**
   * How long a node that joins later, or whose check passes again, works up to its full weight. Default 10,000; 0 for
   * at once.
   */
  readonly warmUpMs?: number | undefined;
  /** Whether calls still go out when every node is out (default), or fail with ERR_NO_NODE. */
  readonly failOpen?: boolean | undefined;
}

/** With all defaults filled in. */
export interface HealthRules {
  readonly check: HealthCheck | undefined;
  /** Undefined: outcomes of calls take no node out. */
  readonly ejection: EjectionRules | undefined;
  readonly warmUpMs: number;
  readonly failOpen: boolean;
}

export function resolveHealth(options: OptionReader): HealthRules {
  const health = {
    check: options.object<HealthCheck>("check", ["watch"]),
    ejection: options.value("ejection") === false ? undefined : resolveEjection(options.nested("ejection")),
    warmUpMs: options.number("warmUpMs", { default: 10_000, min: 0, max: longestTimerMs }),
    failOpen: options.boolean("failOpen", true),
  };
  options.end();
  return health;
}

function resolveEjection(options: OptionReader): EjectionRules {
  const ejection: EjectionRules = {
    consecutiveFailures: options.number("consecutiveFailures", { default: 5, min: 1, integer: true }),
    failureRate: options.number("failureRate", { default: 0.5, min: 0.01, max: 1 }),
    minimumCalls: options.number("minimumCalls", { default: 20, min: 1, integer: true }),
    baseMs: options.number("baseMs", { default: 5_000, min: 1, max: longestTimerMs }),
    maxMs: options.number("maxMs", { default: 60_000, min: 1, max: longestTimerMs }),
  };
  options.end();
  return ejection;
}
