/** What Nacos says of a service's instances as endpoints, and an instance as Nacos registers it. */
import { parseAddress } from "../../core/address.ts";
import type { Instance } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
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
  return clusters.length === 0 || clusters.includes(String(clusterName ?? defaultCluster));
}

function endpointOf({ ip, port, weight, clusterName, metadata }: NacosHost): Endpoint {
  const host = String(ip ?? "");
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
  const { service, weight = 1, zone, version, metadata } = instance;
  const address = parseAddress(instance.address.replace(/^grpc(s?):/i, "http$1:"));
  if (address.scheme === "unix") {
    throw new RangeError(`address of ${service} must have a host and a port, got ${address.text}`);
  }
  return {
    ip: address.hostname,
    port: address.port,
    weight,
    healthy: true,
    enabled: true,
    // It lives as long as the connection.
    ephemeral: true,
    clusterName: cluster,
    metadata: {
      ...textsOf(metadata),
      ...(zone === undefined ? {} : { zone }),
      ...(version === undefined ? {} : { version }),
      ...(address.scheme === "https" ? { secure: "true" } : {}),
    },
  };
}

/** Nacos' metadata are texts. */
function textsOf(metadata: Instance["metadata"]): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata ?? {})) {
    if (value !== undefined) texts[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return texts;
}
