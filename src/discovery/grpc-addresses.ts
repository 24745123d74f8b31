/** Addresses as gRPC services write them: `grpc://host:port` is HTTP/2 over plain TCP, `grpcs://` over TLS. */
import { withoutGrpcScheme } from "../core/address.ts";
import type { Discovery } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { list } from "./list.ts";

/** The same source, its addresses as a cluster takes them. What is no source is left for the cluster to refuse. */
export function withGrpcAddresses(
  discovery: Discovery | readonly (Endpoint | string)[],
): Discovery | readonly (Endpoint | string)[] {
  const source: unknown = Array.isArray(discovery) ? list(discovery) : discovery;
  if (!isDiscovery(source)) return discovery;
  const subscribe = source.subscribe?.bind(source);
  return {
    async *watch(context) {
      for await (const endpoints of source.watch(context)) yield endpoints.map(plain);
    },
    ...(subscribe && { subscribe: (apply) => subscribe((endpoints) => apply(endpoints.map(plain))) }),
  };
}

function isDiscovery(source: unknown): source is Discovery {
  return (
    typeof source === "object" && source !== null && "watch" in source && typeof source.watch === "function"
  );
}

function plain(endpoint: Endpoint): Endpoint {
  // What a source yields is checked behind this.
  const { address } = (endpoint ?? {}) as Partial<Endpoint>;
  if (typeof address !== "string" || !/^grpcs?:/i.test(address)) return endpoint;
  return { ...endpoint, address: withoutGrpcScheme(address) };
}
