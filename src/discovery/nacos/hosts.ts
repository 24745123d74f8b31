/** What Nacos says of a service's instances as endpoints, and an instance as Nacos registers it. */
import type { Instance } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import { writtenHost, writtenTexts } from "../written-instance.ts";
import type { Fields, NacosHost, ServiceInfo } from "./messages.ts";

/** Nacos' own name for it. */
export const defaultCluster = "DEFAULT";

/** @param clusters the clusters that count; all when empty. Servers do not filter every push. */
export function endpointsOf({ hosts }: ServiceInfo, clusters: readonly string[]): readonly Endpoint[] {
  return hosts.filter((host) => isUsable(host) && isIn(clusters, host)).map(endpointOf);
}

/** Enabled by its operator, healthy to the server, and with a share of the calls. Java leaves out no field. */
function isUsable({ enabled = true, healthy = true, weight = 1 }: NacosHost): boolean {
  return enabled === true && healthy === true && !(typeof weight === "number" && weight <= 0);
}

function isIn(clusters: readonly string[], { clusterName }: NacosHost): boolean {
  const name = clusterName ?? defaultCluster;
  return clusters.length === 0 || clusters.some((cluster) => cluster === name);
}

function endpointOf({ ip, port, weight, clusterName, metadata }: NacosHost): Endpoint {
  const host = typeof ip === "string" ? ip : "";
  // Spring Cloud's and ours.
  const scheme = metadata?.secure === "true" ? "https://" : "";
  const zone = metadata?.zone;
  return {
    address: `${scheme}${host.includes(":") ? `[${host}]` : host}:${typeof port === "number" ? port : 0}`,
    // What is none is the guard's to refuse.
    weight: (weight ?? 1) as number,
    ...(typeof zone === "string" && zone !== "" ? { zone } : {}),
    metadata: { cluster: clusterName ?? defaultCluster, ...metadata },
  };
}

/** @throws RangeError for an instance whose address is none that others could call. */
export function hostOf(instance: Instance, cluster: string): Fields {
  const { hostname, port, isSecure } = writtenHost(instance);
  return {
    ip: hostname,
    port,
    weight: instance.weight ?? 1,
    healthy: true,
    enabled: true,
    // It lives as long as the connection.
    ephemeral: true,
    clusterName: cluster,
    metadata: writtenTexts(instance, isSecure),
  };
}
