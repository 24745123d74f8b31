/**
 * One service as all its channels share it: the cluster with the state of its nodes, what is known of its methods, and
 * the attempts that are under way.
 *
 * grpc-js makes a resolver and a policy for each channel, and makes them anew after each idle time (30 minutes). What
 * has to outlive them is here; they find it by the channel's target.
 */
import type { experimental } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import type { Cluster } from "../cluster/cluster.ts";
import { Deadlines } from "../core/deadlines.ts";
import type { Node } from "../core/node.ts";
import { ignored } from "../core/outcome.ts";
import { CallSelector } from "./call-selector.ts";
import type { Dial } from "./dial.ts";
import type { GrpcAttempt } from "./grpc-attempt.ts";
import { isGrpcPolicy } from "./grpc-policy.ts";
import { ConfiguredMethods, type MethodConfig } from "./method-config.ts";
import { Methods } from "./methods.ts";

const drainedTooLong = ignored("closing", "the node was removed, and drainMs are over");

export class GrpcService {
  readonly cluster: Cluster;
  readonly methods: Methods;
  /** Streams under way: unary calls end by themselves, in `totalMs` at the latest. */
  readonly streams: Set<GrpcAttempt> = new Set();
  readonly deadlines: Deadlines;
  /** What grpc-js is told of retries: it makes them, and each failed attempt says whether and when. */
  readonly methodConfig: MethodConfig;
  /** Told when the service is closed. */
  readonly closeListeners: Set<() => void> = new Set();
  /** It takes no new calls. */
  closing = false;
  closed = false;
  readonly #isBlind: boolean;
  #activeCalls = 0;
  #whenIdle: (() => void) | undefined = undefined;
  /** By the service config that channels were given. One object for each, since it is part of a connection's identity. */
  readonly #selectors: Map<string | undefined, CallSelector> = new Map();
  readonly #onGone = (node: Node): void => {
    for (const attempt of [...this.streams]) {
      if (attempt.node !== node) continue;
      attempt.cut(
        status.UNAVAILABLE,
        `${this.cluster.name}: ${node.key} ${drainedTooLong.detail}`,
        drainedTooLong,
      );
    }
  };

  constructor(cluster: Cluster) {
    const { retry } = cluster.rules;
    this.cluster = cluster;
    this.methods = new Methods(retry);
    this.deadlines = new Deadlines(cluster.clock);
    // Under a policy of grpc-js' own no attempt is seen, so that nobody could say what must not be sent again.
    this.#isBlind = isGrpcPolicy(cluster.options.policy);
    const mayRetry = retry.attempts > 1 && !this.#isBlind;
    this.methodConfig = { name: [], ...(mayRetry ? { retryPolicy: retryPolicy(retry.attempts) } : {}) };
    cluster.nodeSet.goneListeners.add(this.#onGone);
  }

  /** @param serviceConfig the channel option `grpc.service_config`. */
  selector(serviceConfig: string | undefined): CallSelector {
    let selector = this.#selectors.get(serviceConfig);
    if (selector === undefined) {
      selector = new CallSelector(this, new ConfiguredMethods(serviceConfig));
      this.#selectors.set(serviceConfig, selector);
    }
    return selector;
  }

  /** For a call that may run twice: hedged where the option `hedge` says so and its time is known, else tried again. */
  repeatConfig(now: number): MethodConfig {
    const delayMs = this.#isBlind ? Number.POSITIVE_INFINITY : this.cluster.hedgeDelayMs(now);
    if (delayMs === Number.POSITIVE_INFINITY || this.cluster.rules.retry.attempts < 2)
      return this.methodConfig;
    // grpc-js has a call either hedged or tried again. One that fails before its hedge is due is made good by it.
    const hedgingDelay = `${(delayMs / 1_000).toFixed(3)}s`;
    return {
      name: [],
      hedgingPolicy: { maxAttempts: 2, hedgingDelay, nonFatalStatusCodes: ["UNAVAILABLE"] },
    };
  }

  callStarted(): void {
    this.#activeCalls++;
  }

  callEnded(): void {
    this.#activeCalls--;
    if (this.#activeCalls === 0) this.#whenIdle?.();
  }

  async close(): Promise<void> {
    this.closing = true;
    // Those under way may still be tried again, and for that need the nodes.
    if (this.#activeCalls > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    this.closed = true;
    for (const listener of [...this.closeListeners]) listener();
    this.cluster.nodeSet.goneListeners.delete(this.#onGone);
    this.deadlines.close();
  }
}

/** The waits are overruled by what each failed attempt asks for; UNAVAILABLE is the one status that may be tried again. */
function retryPolicy(maxAttempts: number): NonNullable<MethodConfig["retryPolicy"]> {
  return {
    maxAttempts,
    initialBackoff: "0.025s",
    maxBackoff: "0.25s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
}

/** The attribute by which a resolver hands the service to the policy; its prefix keeps it from the connections. */
export const serviceAttribute = "grpc.internal.no_subchannel.evenkeel";

/** What the policy is given for one node, besides grpc-js' own fields. */
export interface NodeEndpoint extends experimental.Endpoint {
  readonly node: Node;
  readonly dial: Dial;
}
