/** `grpcPolicy("round_robin")`: discovery, drain and health of ours, and the choice left to a policy of grpc-js' own. */
import { experimental } from "@grpc/grpc-js";
import type { Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { show } from "../core/option-reader.ts";

type LoadBalancingConfig = Parameters<typeof experimental.parseLoadBalancingConfig>[0];

/** Made by `grpcPolicy()` alone: another object of this shape is balanced by its `build`. */
export interface GrpcPolicy extends Policy {
  /** As it stands in a service config. */
  readonly config: LoadBalancingConfig;
}

/**
 * Runs a service's discovery under one of grpc-js' policies, to compare or to move step by step. Node state is then
 * what discovery, checks and the program say: calls are not seen, so there is no ejection, no latency, no
 * `retry.methods` and no `hedge`. A retryPolicy in the channel option `grpc.service_config` holds as ever.
 *
 * @param name `round_robin`, `pick_first`, `weighted_round_robin`, `outlier_detection`, or one that was registered.
 * @param config as in a service config: grpc-js takes an unknown policy or a bad config for `pick_first` and says
 *   nothing, and here it is refused.
 * @throws RangeError for a policy that grpc-js does not have, or a config that it does not take.
 */
export function grpcPolicy(name: string, config: object = {}): GrpcPolicy {
  if (typeof name !== "string" || !experimental.isLoadBalancerNameRegistered(name)) {
    throw new RangeError(`grpcPolicy must be given a policy that grpc-js knows, got ${show(name)}`);
  }
  const written = { [name]: config } as LoadBalancingConfig;
  try {
    experimental.parseLoadBalancingConfig(written);
  } catch (error) {
    throw new RangeError(
      `grpcPolicy(${show(name)}): ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  return new PolicyOfGrpc(name, written);
}

class PolicyOfGrpc implements GrpcPolicy {
  readonly name: string;
  readonly config: LoadBalancingConfig;

  constructor(name: string, config: LoadBalancingConfig) {
    this.name = `grpc ${name}`;
    this.config = config;
  }

  build(nodes: readonly Node[]): Picker {
    return new Elsewhere(nodes);
  }
}

export function isGrpcPolicy(policy: Policy): policy is GrpcPolicy {
  return policy instanceof PolicyOfGrpc;
}

/** @throws TypeError for one of grpc-js' within another: that one would do nothing. */
export function refuseWrapped({ inner }: Policy): void {
  for (let policy = inner; policy?.build !== undefined; policy = policy.inner) {
    if (!isGrpcPolicy(policy)) continue;
    throw new TypeError(`${policy.name} picks by itself: it has no subset and no shadow`);
  }
}

/** For transports other than gRPC over the same cluster: in turns, which is the nearest to what it stands for. */
class Elsewhere implements Picker {
  readonly #nodes: readonly Node[];
  #next = 0;

  constructor(nodes: readonly Node[]) {
    this.#nodes = nodes;
  }

  pick({ tried }: Parameters<Picker["pick"]>[0]): Node | undefined {
    for (let count = 0; count < this.#nodes.length; count++) {
      const node = this.#nodes[this.#next++ % this.#nodes.length];
      if (node !== undefined && !tried.includes(node)) return node;
    }
    return undefined;
  }
}
