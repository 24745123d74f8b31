/** An instance as the agent's `/v1/agent/service/register` takes it. */
import { parseAddress } from "../../core/address.ts";
import type { Instance } from "../../core/contracts.ts";
import type { ResolvedConsulOptions } from "./options.ts";

type Rules = Pick<
  ResolvedConsulOptions,
  "service" | "tags" | "format" | "protocol" | "ttlMs" | "deregisterAfterMs"
>;

/** The largest weight that Consul's DNS answers can carry. */
const heaviestWeight = 65_535;

/** The name of the one check that a registration brings with it; Kratos calls it the same. */
export function checkIdOf(instance: Instance): string {
  return `service:${instance.id}`;
}

/** @throws RangeError for an instance whose address is none that others could call. */
export function serviceDefinition(instance: Instance, rules: Rules): Readonly<Record<string, unknown>> {
  const { id, weight, zone, version, metadata } = instance;
  // Only the scheme differs: gRPC's has no URL rules of its own.
  const address = parseAddress(instance.address.replace(/^grpc(s?):/i, "http$1:"));
  if (address.scheme === "unix") {
    throw new RangeError(`address of ${instance.service} must have a host and a port, got ${address.text}`);
  }
  const { hostname, port } = address;
  const isSecure = address.scheme === "https";
  const isKratos = rules.format === "kratos";
  const share = weight === undefined ? undefined : Math.min(heaviestWeight, Math.max(1, Math.round(weight)));
  const url = `${rules.protocol}${isSecure ? "s" : ""}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  return {
    ID: id,
    Name: rules.service ?? instance.service,
    Address: hostname,
    Port: port,
    Tags: [...rules.tags, ...(isKratos ? [`version=${version ?? ""}`] : [])],
    Meta: {
      ...textsOf(metadata),
      ...(zone === undefined ? {} : { zone }),
      ...(version === undefined || isKratos ? {} : { version }),
      ...(isSecure && !isKratos ? { secure: "true" } : {}),
      // Kratos reads whole numbers there, of which 0 drains; else it is for what Consul's own weights cannot say.
      ...(weight === undefined || (!isKratos && share === weight)
        ? {}
        : { weight: String(isKratos && weight !== 0 ? Math.max(1, Math.round(weight)) : weight) }),
    },
    ...(share === undefined ? {} : { Weights: { Passing: share, Warning: 1 } }),
    ...(isKratos
      ? { TaggedAddresses: { [new URL(url).protocol.slice(0, -1)]: { Address: url, Port: port } } }
      : {}),
    Check: {
      CheckID: checkIdOf(instance),
      Name: "heartbeat",
      TTL: `${Math.ceil(rules.ttlMs)}ms`,
      // Healthy from the start: the program registers once it is ready.
      Status: "passing",
      DeregisterCriticalServiceAfter: `${Math.ceil(rules.deregisterAfterMs)}ms`,
    },
  };
}

/** Consul's metadata are texts. */
function textsOf(metadata: Instance["metadata"]): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata ?? {})) {
    if (value !== undefined) texts[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return texts;
}
