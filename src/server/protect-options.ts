/** The options of `protect()`, and the complete object that they are resolved to. */
import { resolveDeadlineHeader } from "../cluster/limit-options.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { longestTimerMs, OptionReader, show } from "../core/option-reader.ts";
import type { HealthPaths } from "./health-endpoints.ts";

export interface AdaptiveRules {
  readonly min: number;
  readonly max: number;
  readonly initial: number;
}

export interface ServerLimits {
  /**
   * Finds by itself how many calls may be in flight. Default true, which is `{ min: 1, max: 1_000, initial: 50 }`: half
   * of what a caller begins with, as a server that starts is cold, and a thousand at once are more than one event loop
   * answers in a second. A server that waits for others for most of a call, and gets its full load at once, has fewer calls
   * refused at its start with an `initial` of calls per second times seconds per call.
   */
  readonly adaptive?: boolean | Partial<AdaptiveRules> | undefined;
  /** The most calls in flight, whatever the adaptive limit finds. Default none. */
  readonly inflight?: number | undefined;
  /**
   * For how long one turn of the event loop takes in calls; those that are behind them are shed, as are those on new
   * connections when the loop has not paused for two and a half times as long. The time from one call to the next counts
   * for half of it at the most, so that three calls are taken in however long each keeps the loop. Default 100: under
   * overload a call then waits for about twice that, which is what callers still have. `Infinity` for never.
   */
  readonly turnMs?: number | undefined;
}

/** A call as far as it is known before its work starts. */
export interface ArrivedCall {
  readonly method: string;
  /** With its query; for gRPC `/package.Service/Method`. */
  readonly path: string;
}

export interface ProtectOptions {
  /** What the server is called in events. Default "server". */
  readonly name?: string | undefined;
  /**
   * The request header in which a call says how long it has. Default "grpc-timeout", in gRPC's format (`250m`); any
   * other holds whole milliseconds. It is the `deadlineHeader` of those who call. gRPC's own servers always use theirs.
   */
  readonly deadlineHeader?: string | undefined;
  /** When calls are refused before their work starts; false for never. */
  readonly limits?: false | ServerLimits | undefined;
  /** Calls that are neither counted nor refused for load: those that last, such as long polls. Default none. */
  readonly exempt?: ((call: ArrivedCall) => boolean) | undefined;
  /** The endpoints for health. Default `{ live: "/livez", ready: "/readyz" }`, as Kubernetes names its own; false for none. */
  readonly health?: false | Partial<HealthPaths> | undefined;
  /**
   * Whether answers say how loaded this process is (ORCA's `endpoint-load-metrics`). Default true; false where the
   * callers are strangers.
   */
  readonly loadReports?: boolean | undefined;
  /**
   * How long `close()` waits after readiness has ended. Default 5,000: a probe comes every few seconds, and what asked it
   * has to act on it. A registration waits by its own options.
   */
  readonly drainMs?: number | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

export interface ResolvedProtectOptions {
  readonly name: string;
  readonly deadlineHeader: string;
  readonly adaptive: AdaptiveRules | undefined;
  readonly inflight: number;
  readonly turnMs: number;
  readonly exempt: ((call: ArrivedCall) => boolean) | undefined;
  readonly health: HealthPaths | undefined;
  readonly loadReports: boolean;
  readonly drainMs: number;
  readonly clock: Clock;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveProtectOptions(given: ProtectOptions): ResolvedProtectOptions {
  const options = new OptionReader(given, "protect");
  const resolved: ResolvedProtectOptions = {
    name: options.string("name") ?? "server",
    deadlineHeader: resolveDeadlineHeader(options.string("deadlineHeader")) ?? "grpc-timeout",
    ...readLimits(options),
    exempt: options.function<(call: ArrivedCall) => boolean>("exempt"),
    health: readHealth(options),
    loadReports: options.boolean("loadReports", true),
    drainMs: options.number("drainMs", { default: 5_000, min: 0, max: longestTimerMs }),
    clock: options.object<Clock>("clock", ["now", "schedule"]) ?? systemClock,
  };
  options.end();
  return resolved;
}

type ResolvedLimits = Pick<ResolvedProtectOptions, "adaptive" | "inflight" | "turnMs">;

function readLimits(options: OptionReader): ResolvedLimits {
  const none = Number.POSITIVE_INFINITY;
  if (options.value("limits") === false) return { adaptive: undefined, inflight: none, turnMs: none };
  const limits = options.nested("limits");
  const resolved = {
    adaptive: readAdaptive(limits),
    inflight: limits.number("inflight", { default: none, min: 1, max: none }),
    turnMs: limits.number("turnMs", { default: 100, min: 1, max: none }),
  };
  limits.end();
  return resolved;
}

function readAdaptive(limits: OptionReader): AdaptiveRules | undefined {
  const given = limits.value("adaptive");
  if (given === false) return undefined;
  const rules = given === true ? new OptionReader({}, "") : limits.nested("adaptive");
  const min = rules.number("min", { default: 1, min: 1, integer: true });
  const max = rules.number("max", { default: Math.max(min, 1_000), min, integer: true });
  const usual = Math.min(max, Math.max(min, 50));
  const initial = rules.number("initial", { default: usual, min, max, integer: true });
  rules.end();
  return { min, max, initial };
}

function readHealth(options: OptionReader): HealthPaths | undefined {
  if (options.value("health") === false) return undefined;
  const health = options.nested("health");
  const paths = { live: health.string("live") ?? "/livez", ready: health.string("ready") ?? "/readyz" };
  health.end();
  for (const [name, path] of Object.entries(paths)) {
    if (!path.startsWith("/") || path.includes("?"))
      throw new RangeError(`protect.health.${name} must be a path from /, got ${show(path)}`);
  }
  if (paths.live === paths.ready)
    throw new RangeError(`protect.health.live and ready must differ, got ${show(paths.live)} for both`);
  return paths;
}
