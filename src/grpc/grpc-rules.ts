/**
 * What holds for the calls of a service, or of a view of it, in the words of grpc-js: made once for all of them.
 *
 * The rules of a view travel from the interceptor to the channel's `ConfigSelector` in the options of a call's
 * metadata, which grpc-js hands on by reference. So nothing goes on the wire, and the rules are no part of a
 * connection's identity: views share their connections.
 */
import type { CallOptions, InterceptorOptions, Metadata, MetadataOptions } from "@grpc/grpc-js";
import { type CallRules, resolveRules, type WithOptions } from "../cluster/call-rules.ts";
import { show } from "../core/option-reader.ts";
import { isGrpcPolicy } from "./grpc-policy.ts";
import type { GrpcService } from "./grpc-service.ts";
import type { MethodConfig } from "./method-config.ts";
import type { Method } from "./methods.ts";

/** Where a call's options, and then those of its metadata, hold the rules of its view. */
const rulesKey: unique symbol = Symbol("evenkeel.rules");

interface Carrier {
  readonly [rulesKey]?: GrpcRules;
}

export class GrpcRules {
  readonly service: GrpcService;
  readonly rules: CallRules;
  /** The time that unary calls of a view are given, which the server is told. Undefined where no view gives one. */
  readonly deadlineMs: number | undefined;
  /** What grpc-js is told of retries: it makes them, and each failed attempt says whether and when. */
  readonly methodConfig: MethodConfig;

  constructor(service: GrpcService, rules: CallRules, deadlineMs?: number) {
    this.service = service;
    this.rules = rules;
    this.deadlineMs = deadlineMs;
    const { attempts } = rules.retry;
    // Under a policy of grpc-js' own nobody says of a failed attempt whether it may be made good.
    const repeats = attempts > 1 && !isGrpcPolicy(service.cluster.options.policy);
    this.methodConfig = { name: [], ...(repeats ? { retryPolicy: retryPolicy(2 * attempts) } : {}) };
  }

  /** @throws TypeError or RangeError that names the option and the value it got. */
  with(options: WithOptions): GrpcRules {
    const rules = resolveRules(this.rules, options, "with");
    refuseUnheard(options, this.service);
    return new GrpcRules(this.service, rules, options.totalMs ?? this.deadlineMs);
  }

  /** The options of one call that carry these rules. */
  get callOptions(): CallOptions {
    const options: CallOptions & Carrier = { [rulesKey]: this };
    return options;
  }

  /** What these rules make of a method. */
  methodOf(method: Method): Method {
    const { idempotent, retry } = this.rules;
    const mayRepeat = idempotent ?? this.service.methods.mayRepeat(method.path, retry);
    return mayRepeat === method.mayRepeat ? method : { ...method, mayRepeat };
  }

  /** For a call of the method: one that may run twice is hedged, where `hedge` says so and its time is known, else tried again. */
  configOf({ isStream, mayRepeat }: Method, now: number): MethodConfig {
    // A stream's first answer says nothing of the rest, and all of it would have to be kept for the second.
    if (isStream || !mayRepeat) return this.methodConfig;
    const delayMs = this.service.cluster.hedgeDelayMs(now);
    const isHedged = delayMs < Number.POSITIVE_INFINITY && this.methodConfig.retryPolicy !== undefined;
    if (!isHedged) return this.methodConfig;
    // grpc-js has a call either hedged or tried again. One that fails before its hedge is due is made good by it.
    const hedgingDelay = `${(delayMs / 1_000).toFixed(3)}s`;
    return {
      name: [],
      hedgingPolicy: { maxAttempts: 2, hedgingDelay, nonFatalStatusCodes: ["UNAVAILABLE"] },
    };
  }

  /** Metadata that carries these rules. The caller's own may be used for other calls as well. */
  mark(metadata: Metadata): Metadata {
    const marked = metadata.clone();
    const options: MetadataOptions & Carrier = { ...metadata.getOptions(), [rulesKey]: this };
    marked.setOptions(options);
    return marked;
  }
}

/** The rules of the view that a call belongs to, if it does. */
export function rulesIn(options: MetadataOptions | InterceptorOptions): GrpcRules | undefined {
  return (options as Carrier)[rulesKey];
}

/**
 * How often is decided with each failed attempt and each pick without a node: an attempt that its node did not process, in
 * leaving, costs none of the call's, up to as many. The waits are overruled likewise, and of whole seconds since grpc-js
 * reads the text for each call; UNAVAILABLE is the one status that may be tried again.
 */
function retryPolicy(maxAttempts: number): NonNullable<MethodConfig["retryPolicy"]> {
  return {
    maxAttempts,
    initialBackoff: "1s",
    maxBackoff: "1s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
}

/** @throws TypeError for a method of `retry.methods` that is no path, and would be that of no call. */
export function refuseShortNames(methods: unknown): void {
  if (!Array.isArray(methods)) return;
  for (const method of methods) {
    if (typeof method !== "string" || method.startsWith("/")) continue;
    throw new TypeError(`retry.methods must hold full paths (/package.Service/Method), got ${show(method)}`);
  }
}

/** @throws TypeError for what would be taken and do nothing. */
function refuseUnheard(options: WithOptions, { cluster }: GrpcService): void {
  if (typeof options.retry === "object") {
    const { statuses, methods } = options.retry;
    if (statuses !== undefined) {
      throw new TypeError("retry.statuses is of no use over gRPC: UNAVAILABLE alone is tried again");
    }
    refuseShortNames(methods);
  }
  const { policy } = cluster.options;
  if (!isGrpcPolicy(policy)) return;
  for (const [name, value] of Object.entries(options)) {
    const isHeard = name === "totalMs" || (name === "priority" && cluster.admission !== undefined);
    if (isHeard || value === undefined) continue;
    throw new TypeError(`with.${name} is of no use under ${policy.name}: its attempts are those of grpc-js`);
  }
}
