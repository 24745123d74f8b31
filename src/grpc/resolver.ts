/** The resolver of one channel: hands the nodes that discovery names on to the channel's policy, as they change. */
import { experimental, Metadata, status } from "@grpc/grpc-js";
import type { Cluster } from "../cluster/cluster.ts";
import type { Timer } from "../core/clock.ts";
import type { Node } from "../core/node.ts";
import { Dial } from "./dial.ts";
import { policyName } from "./evenkeel-load-balancer.ts";
import { isGrpcPolicy } from "./grpc-policy.ts";
import { type GrpcService, type NodeEndpoint, serviceAttribute } from "./grpc-service.ts";
import { Refusal } from "./refusal.ts";

const { CHANNEL_ARGS_CONFIG_SELECTOR_KEY, statusOrFromError, statusOrFromValue } = experimental;
type ServiceConfig = Extract<
  NonNullable<Parameters<experimental.ResolverListener>[2]>,
  { ok: true }
>["value"];

export class EvenkeelResolver implements experimental.Resolver {
  readonly #service: GrpcService | undefined;
  readonly #path: string;
  readonly #listener: experimental.ResolverListener;
  readonly #serviceConfig: string | undefined;
  readonly #onChange = (): void => {
    // An ejection, say, is no change of the set.
    const { closed, cluster } = this.#service as GrpcService;
    if (closed || !isSame(this.#told, toldOf(cluster))) this.#schedule();
  };
  /** One address object for each node, as long as the channel has it: a connection is known by it. */
  readonly #endpoints: Map<string, NodeEndpoint> = new Map();
  /** Undefined until the policy was told of nodes, or of there being none. */
  #told: readonly Node[] | undefined = undefined;
  #firstWait: Timer | undefined = undefined;
  #hasWaited = false;
  #isWatching = false;
  #isScheduled = false;

  constructor(
    service: GrpcService | undefined,
    path: string,
    listener: experimental.ResolverListener,
    serviceConfig: string | undefined,
  ) {
    this.#service = service;
    this.#path = path;
    this.#listener = listener;
    this.#serviceConfig = serviceConfig;
  }

  updateResolution(): void {
    const service = this.#service;
    if (!this.#isWatching && service !== undefined) {
      service.cluster.updateListeners.add(this.#onChange);
      // A drain by the program, which grpc-js' own policies would not see otherwise.
      service.cluster.nodeSet.rebuildListeners.add(this.#onChange);
      service.closeListeners.add(this.#onChange);
    }
    // grpc-js asks again when a connection has broken, a GOAWAY included, or cannot be made.
    if (this.#isWatching) service?.cluster.wakeDiscovery();
    this.#isWatching = true;
    this.#schedule();
  }

  /** After an idle time grpc-js calls `updateResolution` of the same object again. */
  destroy(): void {
    this.#isWatching = false;
    this.#firstWait?.cancel();
    this.#firstWait = undefined;
    this.#service?.cluster.updateListeners.delete(this.#onChange);
    this.#service?.cluster.nodeSet.rebuildListeners.delete(this.#onChange);
    this.#service?.closeListeners.delete(this.#onChange);
  }

  /** Never at once: grpc-js must not be called back within `updateResolution`, nor within a pick. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(() => {
      this.#isScheduled = false;
      if (this.#isWatching) this.#tell();
    });
  }

  #tell(): void {
    const service = this.#service;
    if (service === undefined || service.closed) {
      const details = `${this.#path}: no balancer of this name is open in this process`;
      const selector = new Refusal(details);
      this.#listener(unavailable(details), { [CHANNEL_ARGS_CONFIG_SELECTOR_KEY]: selector }, null, "");
      return;
    }
    const { cluster } = service;
    const { policy } = cluster.options;
    if (isGrpcPolicy(policy) && this.#isFirstWait(cluster)) return;
    const selector = service.selector(this.#serviceConfig);
    const attributes = { [serviceAttribute]: service, [CHANNEL_ARGS_CONFIG_SELECTOR_KEY]: selector };
    const config: ServiceConfig = {
      loadBalancingConfig: [isGrpcPolicy(policy) ? policy.config : { [policyName]: {} }],
      methodConfig: [],
      ...selector.configured.throttling,
    };
    const hadNodes = this.#told !== undefined && this.#told.length > 0;
    const endpoints = this.#currentEndpoints(service);
    // pick_first would leave calls waiting for a first set that is not empty, for as long as that takes.
    const isError = isGrpcPolicy(policy) && endpoints.length === 0 && !hadNodes;
    const result = isError
      ? unavailable(`${cluster.name}: ${cluster.describeNoNode()}`)
      : statusOrFromValue(endpoints);
    this.#listener(result, attributes, statusOrFromValue(config), "");
  }

  /** Policies of grpc-js' own fail calls at once for want of nodes: those wait here for discovery, `connectMs` at most. */
  #isFirstWait({ awaitsDiscovery, clock, options }: Cluster): boolean {
    if (!awaitsDiscovery || this.#hasWaited) return false;
    this.#firstWait ??= clock.schedule(() => {
      this.#hasWaited = true;
      this.#schedule();
    }, options.timeouts.connectMs);
    return true;
  }

  #currentEndpoints({ cluster }: GrpcService): NodeEndpoint[] {
    const endpoints: NodeEndpoint[] = [];
    const known = new Set<string>();
    const nodes = toldOf(cluster);
    this.#told = nodes;
    for (const node of nodes) {
      known.add(node.key);
      let endpoint = this.#endpoints.get(node.key);
      if (endpoint?.node !== node) {
        const dial = endpoint?.dial ?? new Dial(node.endpoint.address);
        endpoint = { addresses: [dial.address], node, dial };
        this.#endpoints.set(node.key, endpoint);
      }
      endpoints.push(endpoint);
    }
    for (const key of this.#endpoints.keys()) if (!known.has(key)) this.#endpoints.delete(key);
    return endpoints;
  }
}

/** Our policy leaves out by itself what is out for now, and keeps its connection; one of grpc-js' own cannot. */
function toldOf({ nodeSet, options }: Cluster): readonly Node[] {
  return isGrpcPolicy(options.policy) ? nodeSet.callable : nodeSet.eligible;
}

function unavailable(details: string): experimental.StatusOr<NodeEndpoint[]> {
  return statusOrFromError({ code: status.UNAVAILABLE, details, metadata: new Metadata() });
}

function isSame(one: readonly Node[] | undefined, other: readonly Node[]): boolean {
  return one?.length === other.length && one.every((node, index) => node === other[index]);
}
