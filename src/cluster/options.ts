/** The options of a cluster: what may be given, what it means, and the complete object it is resolved to, once. */
import { resolve as resolvePath, sep } from "node:path";
import { type Clock, systemClock } from "../core/clock.ts";
import type { Discovery, Policy } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { longestTimerMs, OptionReader, show } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { list } from "../discovery/list.ts";
import { leastCost } from "../policy/least-cost.ts";
import { type ShadowedPolicy, withShadow } from "../policy/shadow.ts";
import type { RetryRules } from "../resilience/retry.ts";
import type { RetryBudgetOptions } from "../resilience/retry-budget.ts";
import { resolveRetry } from "./call-rules.ts";
import { type ConnectionOptions, type ConnectionRules, resolveConnections } from "./connection-options.ts";
import { type Fallback, resolveFallback } from "./fallback-options.ts";
import { type HealthOptions, type HealthRules, resolveHealth } from "./health-options.ts";
import {
  type BreakerOptions,
  type BreakerRules,
  type HedgeOptions,
  type HedgeRules,
  type LimitOptions,
  type LimitRules,
  resolveBreaker,
  resolveDeadlineHeader,
  resolveHedge,
  resolveLimits,
} from "./limit-options.ts";
import { resolveTls, type TlsOptions } from "./tls-options.ts";

export interface TimeoutOptions {
  /**
   * From admission to the end of the body, all attempts and waits included. Default 30,000. Lifted once headers
   * arrive for event streams, upgrades and CONNECT.
   */
  readonly totalMs?: number | undefined;
  /** From dispatch to the final headers, for each attempt. Default 10,000. */
  readonly attemptMs?: number | undefined;
  /**
   * For one connection to be made, TLS included. Default 1,000: within a data centre a connection takes
   * milliseconds, and one lost SYN is repeated after 1 s. Also how long a call waits for the first answer of
   * discovery.
   */
  readonly connectMs?: number | undefined;
  /** Between two pieces of a response body. Default 30,000. */
  readonly bodyIdleMs?: number | undefined;
}

export interface RetryOptions {
  /** All tries counted, from 1 (no retry). Default 3. */
  readonly attempts?: number | undefined;
  /** Statuses after which a call is tried on another node. Default 502, 503, 504. */
  readonly statuses?: readonly number[] | undefined;
  /**
   * Methods that may run twice. Default GET HEAD OPTIONS TRACE PUT DELETE. A call of any method that was
   * provably not sent is tried again regardless, as is one with `idempotent: true` or an Idempotency-Key.
   * Over gRPC: full paths (`/shop.Orders/Get`), by default none, or `"idempotency_level"` for what the methods'
   * own definitions say, which `define` hands over. Over Connect the interceptor knows those, and paths add to them.
   */
  readonly methods?: readonly string[] | "idempotency_level" | undefined;
  /**
   * What all retries together may cost: `ratio` (default 0.2) for each call plus `minPerSecond` (default 10),
   * over 10 s. `false` takes the limit away, and with it the protection against retry storms.
   */
  readonly budget?: false | { readonly ratio?: number; readonly minPerSecond?: number } | undefined;
  /** Upper end of the first random wait; doubles with each attempt. Default 25 (Envoy's base interval). */
  readonly backoffMs?: number | undefined;
  /** The longest random wait. Default 250 (ten times the base, as Envoy's). */
  readonly maxBackoffMs?: number | undefined;
}

export interface SnapshotOptions {
  /**
   * A file of this service's own, or, with a slash at the end, a folder for a file of each service's name: so it may
   * stand in an agent's `defaults`. Made when it is first written; relative to the working directory of the start.
   */
  readonly path: string;
  /**
   * How long discovery is given before what is remembered is used; an error ends the wait. Default 500: half of what a
   * call waits for discovery's first answer (`timeouts.connectMs`).
   */
  readonly waitMs?: number | undefined;
}

export interface ClusterOptions {
  /** The service's name: the host of its URLs, and what discovery is asked for. */
  readonly name: string;
  /** Where the nodes come from: a source, or a fixed list of endpoints. */
  readonly discovery: Discovery | readonly (Endpoint | string)[];
  /** Default `leastCost()`. */
  readonly policy?: Policy | undefined;
  /** Picks along with `policy` without a call being sent; see `shadowReport`. */
  readonly shadow?: Policy | undefined;
  readonly timeouts?: TimeoutOptions | undefined;
  /** `false`: every call is sent once, whatever happens. */
  readonly retry?: false | RetryOptions | undefined;
  /**
   * Sends a call a second time, to another node, when it takes unusually long: only calls that may run twice, as one of
   * their `retry.attempts`, and paid from the budget of retries. Off by default: it costs calls.
   */
  readonly hedge?: HedgeOptions | undefined;
  /** How many calls go out at once, and how many in a second. Off by default: only the program knows the numbers. */
  readonly limits?: LimitOptions | undefined;
  /**
   * Refuses calls at once while a service does not answer them. `true` for its defaults. Off by default: a program has
   * to be ready for ERR_CIRCUIT_OPEN.
   */
  readonly breaker?: boolean | BreakerOptions | undefined;
  /** What a caller is given in place of an error: a response, or a function that makes one. */
  readonly fallback?: Fallback | undefined;
  /**
   * The request header in which the next service is told how long it has for its whole answer: "grpc-timeout" in gRPC's
   * format, any other name in whole milliseconds. Upgrades, CONNECT and calls that accept event streams have it only for
   * a deadline that is inherited. Off by default: a header that nobody reads is a cost.
   */
  readonly deadlineHeader?: string | undefined;
  readonly health?: HealthOptions | undefined;
  readonly connections?: ConnectionOptions | undefined;
  readonly tls?: TlsOptions | undefined;
  /** Host header for nodes that are IP addresses or Unix sockets. */
  readonly host?: string | undefined;
  /** The caller's own zone: its nodes are preferred, as far as their capacity goes. Default: no preference. */
  readonly zone?: string | undefined;
  /** Scheme of addresses that have none. Default "http". */
  readonly scheme?: "http" | "https" | undefined;
  /** Whether discovery may take the last node away. Default false: an empty set is held to be an accident. */
  readonly allowEmpty?: boolean | undefined;
  /**
   * Keeps the last good set in a file, and starts from it while discovery cannot be reached: the nodes are then stale.
   * Metadata is not kept. Off by default; not used with `list()`.
   */
  readonly snapshot?: SnapshotOptions | undefined;
  /** Time and chance, for tests. */
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

export interface ResolvedOptions extends HealthRules {
  readonly name: string;
  readonly discovery: Discovery;
  /** With the shadow's own picks inside, where there is a shadow. */
  readonly policy: Policy;
  readonly shadowed: ShadowedPolicy | undefined;
  readonly timeouts: {
    readonly totalMs: number;
    readonly attemptMs: number;
    readonly connectMs: number;
    readonly bodyIdleMs: number;
  };
  readonly retry: RetryRules;
  /** Undefined: no limit. */
  readonly retryBudget: RetryBudgetOptions | undefined;
  readonly hedge: HedgeRules | undefined;
  readonly limits: LimitRules | undefined;
  readonly breaker: BreakerRules | undefined;
  readonly fallback: Fallback | undefined;
  readonly deadlineHeader: string | undefined;
  readonly connections: ConnectionRules;
  readonly tls: TlsOptions;
  readonly host: string | undefined;
  readonly zone: string | undefined;
  readonly scheme: "http" | "https";
  readonly allowEmpty: boolean;
  /** `path` is the file. */
  readonly snapshot: { readonly path: string; readonly waitMs: number } | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * @throws TypeError or RangeError that names the option and the value it got; unknown options are refused with a
 *   suggestion.
 */
export function resolveOptions(given: ClusterOptions): ResolvedOptions {
  const options = new OptionReader(given, "");
  const name = options.string("name");
  if (name === undefined) throw new TypeError("name must be given: the service's name, as in its URLs");
  const random = options.function<Random>("random");
  const policy = options.object<Policy>("policy", ["build"]) ?? leastCost({ random });
  const shadow = options.object<Policy>("shadow", ["build"]);
  const shadowed = shadow === undefined ? undefined : withShadow(policy, shadow);
  const breaker = resolveBreaker(options.value("breaker"));
  const connections = resolveConnections(options.nested("connections"));
  const resolved: ResolvedOptions = {
    name,
    discovery: resolveDiscovery(options.value("discovery")),
    policy: shadowed ?? policy,
    shadowed,
    timeouts: resolveTimeouts(options.nested("timeouts")),
    ...resolveRetry(options.value("retry")),
    hedge: resolveHedge(options.value("hedge")),
    limits: resolveLimits(options.value("limits")),
    breaker,
    fallback: resolveFallback(options.value("fallback")),
    deadlineHeader: resolveDeadlineHeader(options.string("deadlineHeader")),
    ...resolveHealth(options.nested("health")),
    connections: {
      ...connections,
      total: Math.min(connections.total, breaker?.connections ?? connections.total),
    },
    tls: resolveTls(options.nested("tls")),
    host: options.string("host"),
    zone: options.string("zone"),
    scheme: options.word("scheme", ["http", "https"], "http"),
    allowEmpty: options.boolean("allowEmpty", false),
    snapshot:
      options.value("snapshot") === undefined ? undefined : resolveSnapshot(name, options.nested("snapshot")),
    clock: options.object<Clock>("clock", ["now", "schedule"]) ?? systemClock,
    random: random ?? Math.random,
  };
  options.end();
  return resolved;
}

function resolveDiscovery(given: unknown): Discovery {
  if (Array.isArray(given)) return list(given);
  if (typeof given === "object" && given !== null && "watch" in given && typeof given.watch === "function") {
    return given as Discovery;
  }
  throw new TypeError(
    `discovery must be a source such as list() or file(), or an array of endpoints, got ${show(given)}`,
  );
}

function resolveSnapshot(name: string, options: OptionReader): ResolvedOptions["snapshot"] {
  const path = options.string("path");
  if (path === undefined)
    throw new TypeError("snapshot.path must be given: a file, or a folder with a slash");
  const waitMs = options.number("waitMs", { default: 500, min: 0, max: longestTimerMs });
  options.end();
  return { path: resolvePath(isFolder(path) ? `${path}${encodeURIComponent(name)}.json` : path), waitMs };
}

/** Whether a snapshot's path is that of a folder, with a file for each service. */
export function isFolder(path: string): boolean {
  return path.endsWith("/") || path.endsWith(sep);
}

function resolveTimeouts(options: OptionReader): ResolvedOptions["timeouts"] {
  const timeouts = {
    totalMs: options.number("totalMs", { default: 30_000, min: 1, max: longestTimerMs }),
    attemptMs: options.number("attemptMs", { default: 10_000, min: 1, max: longestTimerMs }),
    connectMs: options.number("connectMs", { default: 1_000, min: 1, max: longestTimerMs }),
    bodyIdleMs: options.number("bodyIdleMs", { default: 30_000, min: 1, max: longestTimerMs, integer: true }),
  };
  options.end();
  return timeouts;
}
