/**
 * A cluster under grpc-js: balancing inside the channel, by a resolver and a policy of ours.
 *
 * @example
 * const orders = grpcBalancer({ name: "orders", discovery: ["10.0.0.1:50051", "10.0.0.2:50051"] });
 * const client = new OrdersClient(orders.target, credentials.createInsecure(), orders.channelOptions);
 */
import type { ClientOptions, ServiceDefinition } from "@grpc/grpc-js";
import type { WithOptions } from "../cluster/call-rules.ts";
import { Cluster } from "../cluster/cluster.ts";
import type { ClusterOptions } from "../cluster/options.ts";
import { RpcBalancer } from "../cluster/rpc-balancer.ts";
import { inspectBy } from "../core/summary.ts";
import { checkAuthority } from "./authority.ts";
import { connectionDefaults } from "./connection-options.ts";
import { checkDeadlineHeader } from "./deadline-metadata.ts";
import { GrpcBalancerView } from "./grpc-balancer-view.ts";
import { GrpcCheck } from "./grpc-check.ts";
import { isGrpcPolicy, refuseWrapped } from "./grpc-policy.ts";
import { type GrpcRules, refuseShortNames } from "./grpc-rules.ts";
import { GrpcService } from "./grpc-service.ts";
import { createInterceptor } from "./interceptor.ts";
import { addService, removeService } from "./services.ts";

export type GrpcBalancerOptions = ClusterOptions;

/** Twice the most that `retry.attempts` takes: see `GrpcRules`. */
const mostAttempts = 200;

/** What a client is given as its options. */
export type GrpcChannelOptions = ClientOptions & {
  readonly interceptors: NonNullable<ClientOptions["interceptors"]>;
};

/**
 * Balances the calls of all channels that are made with its `target`.
 *
 * @param from the options of a cluster of its own, or a cluster that others use as well; that one is left open when the
 *   balancer closes.
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function grpcBalancer(from: GrpcBalancerOptions | Cluster): GrpcBalancer {
  return new GrpcBalancer(from);
}

/** Made by `grpcBalancer()`. Channels are the program's own, and outlive it as such that reach nobody. */
export class GrpcBalancer extends RpcBalancer {
  static {
    inspectBy(GrpcBalancer.prototype, ({ cluster }, depth, options) =>
      cluster.describe("GrpcBalancer", depth, options),
    );
  }

  /** What a client is given as its address. */
  readonly target: string;
  /**
   * What a client is given as its options; further ones may be added beside them. Connections get keepalive, quick
   * reconnects and retries without them as well. Only with the interceptor in them are streams told from unary calls
   * before they end, and deadlines inherited: an `interceptors` of your own has to hold it too.
   */
  readonly channelOptions: GrpcChannelOptions;
  readonly #service: GrpcService;

  constructor(from: GrpcBalancerOptions | Cluster) {
    if (from instanceof Cluster) {
      checkAuthority(from.options);
      checkDeadlineHeader(from.options.deadlineHeader);
      refuseWrapped(from.options.policy);
    }
    super(from instanceof Cluster ? from : withoutUnheard(from));
    this.#service = new GrpcService(this.cluster);
    this.target = addService(this.#service);
    const { host } = this.cluster.options;
    this.channelOptions = {
      ...connectionDefaults(this.cluster.options),
      // With a proxy in the environment grpc-js would ask that one in place of our resolver.
      "grpc.enable_http_proxy": 0,
      // grpc-js stops at 5 whatever its policy says; views have numbers of their own.
      "grpc-node.retry_max_attempts_limit": mostAttempts,
      ...(host === undefined ? {} : { "grpc.default_authority": host }),
      interceptors: [createInterceptor(this.#service)],
    };
  }

  /**
   * A cheap view with options for some calls: `client.get(request, orders.with({ hashKey: "ada" }).callOptions, callback)`.
   * It shares everything else with this balancer, which is what is closed.
   *
   * @throws TypeError or RangeError that names the option and the value it got; TypeError also for what has no effect
   *   over gRPC: `retry.statuses`, methods that are no paths, and nearly all under `grpcPolicy`.
   */
  with(options: WithOptions): GrpcBalancerView {
    return this.#view(this.#service.rules.with(options));
  }

  /**
   * For `retry: { methods: "idempotency_level" }`: hands over the definition of a service, `OrdersClient.service` of
   * clients by @grpc/proto-loader. grpc-js itself tells of a method only whether it is a stream.
   */
  define(service: ServiceDefinition): this {
    for (const method of Object.values(service)) this.#service.methods.define(method);
    return this;
  }

  #view(grpcRules: GrpcRules): GrpcBalancerView {
    return new GrpcBalancerView(this, {
      rules: grpcRules.rules,
      callOptions: grpcRules.callOptions,
      interceptor: createInterceptor(this.#service, grpcRules),
      with: (options) => this.#view(grpcRules.with(options)),
    });
  }

  protected override async closeTransport(): Promise<void> {
    await this.#service.close();
    removeService(this.#service);
  }
}

/** @throws TypeError for what would be taken and do nothing. A cluster that HTTP calls share may have it. */
function withoutUnheard(from: GrpcBalancerOptions): GrpcBalancerOptions {
  const { tls, connections, fallback, retry, deadlineHeader } = from;
  for (const [name, value] of Object.entries(tls ?? {})) {
    if (name === "servername" || value === undefined) continue;
    throw new TypeError(
      `tls.${name} is of no use to grpcBalancer: certificates are in the credentials of the client`,
    );
  }
  if (fallback !== undefined) {
    throw new TypeError("fallback is of no use to grpcBalancer: an interceptor of the client can give one");
  }
  if (connections?.factory !== undefined) {
    throw new TypeError(
      "connections.factory is of no use to grpcBalancer: its connections are those of grpc-js",
    );
  }
  refuseAroundPolicy(from);
  if (retry) refuseShortNames(retry.methods);
  // Whether these are texts at all is the cluster's to say.
  if (typeof deadlineHeader === "string") checkDeadlineHeader(deadlineHeader);
  if (typeof from.name === "string") checkAuthority(from);
  return from;
}

/** @throws TypeError for what would do nothing beside one of grpc-js' policies, and for one that would do nothing itself. */
function refuseAroundPolicy({ policy, shadow, health }: GrpcBalancerOptions): void {
  if (policy !== undefined && isGrpcPolicy(policy)) {
    if (shadow !== undefined)
      throw new TypeError(`shadow is of no use to ${policy.name}, which picks by itself`);
    if (health?.check instanceof GrpcCheck) {
      throw new TypeError(
        "health.check: grpcCheck() is of no use to grpcPolicy(), whose connections are not at hand; httpCheck() is",
      );
    }
  }
  if (shadow !== undefined && isGrpcPolicy(shadow)) {
    throw new TypeError(`shadow: ${shadow.name} cannot be asked for a pick that is not made`);
  }
  if (typeof policy === "object" && policy !== null) refuseWrapped(policy);
}
