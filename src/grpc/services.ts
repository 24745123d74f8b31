/**
 * Finds a service by the target of a channel: `evenkeel:///orders`.
 *
 * grpc-js knows resolvers and policies by name, in a registry of each copy of it; ours are entered once, when the first
 * service is.
 */
import { experimental } from "@grpc/grpc-js";
import { authorityOf } from "./authority.ts";
import { EvenkeelConfig, EvenkeelLoadBalancer, policyName } from "./evenkeel-load-balancer.ts";
import type { GrpcService } from "./grpc-service.ts";
import { EvenkeelResolver } from "./resolver.ts";

const scheme = "evenkeel";
const services: Map<string, GrpcService> = new Map();
let isRegistered = false;

/** @returns the target under which channels find it. */
export function addService(service: GrpcService): string {
  if (!isRegistered) {
    isRegistered = true;
    experimental.registerLoadBalancerType(policyName, EvenkeelLoadBalancer, EvenkeelConfig);
    experimental.registerResolver(scheme, resolverOf(services));
  }
  const { name } = service.cluster;
  let path = name;
  for (let number = 2; services.has(path); number++) path = `${name}#${number}`;
  services.set(path, service);
  return `${scheme}:///${path}`;
}

export function removeService(service: GrpcService): void {
  for (const [path, known] of services) if (known === service) services.delete(path);
}

function resolverOf(
  known: ReadonlyMap<string, GrpcService>,
): Parameters<typeof experimental.registerResolver>[1] {
  return class extends EvenkeelResolver {
    constructor(
      target: experimental.GrpcUri,
      listener: experimental.ResolverListener,
      options: { readonly "grpc.service_config"?: string },
    ) {
      super(known.get(target.path), target.path, listener, options["grpc.service_config"]);
    }

    static getDefaultAuthority({ path }: experimental.GrpcUri): string {
      const service = known.get(path);
      return service === undefined ? path : authorityOf(service.cluster.options);
    }
  };
}
