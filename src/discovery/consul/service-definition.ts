/** An instance as the agent's `/v1/agent/service/register` takes it. */
import type { Instance } from "../../core/contracts.ts";
import { show } from "../../core/option-reader.ts";
import { writtenHost, writtenTexts } from "../written-instance.ts";
import type { ResolvedConsulOptions } from "./options.ts";

type Rules = Pick<
  ResolvedConsulOptions,
  "service" | "tags" | "format" | "protocol" | "ttlMs" | "deregisterAfterMs"
>;

/** The largest weight that Consul's DNS answers can carry. */
const heaviestWeight = 65_535;

/** Consul's own limits for metadata, in pairs, characters and bytes. */
const mostPairs = 64;
const longestKey = 128;
const longestValue = 512;

/** The name of the one check that a registration brings with it; Kratos calls it the same. */
export function checkIdOf(instance: Instance): string {
  return `service:${instance.id}`;
}

/** @throws RangeError for an instance whose address is none that others could call, or that Consul cannot hold. */
export function serviceDefinition(instance: Instance, rules: Rules): Readonly<Record<string, unknown>> {
  const { id, service, weight, version } = instance;
  const { hostname, port, isSecure } = writtenHost(instance);
  const isKratos = rules.format === "kratos";
  const share = weight === undefined ? undefined : Math.min(heaviestWeight, Math.max(1, Math.round(weight)));
  const url = `${rules.protocol}${isSecure ? "s" : ""}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  // Kratos has a tag for the version, and the scheme in its addresses.
  const texts = writtenTexts(
    isKratos ? { ...instance, version: undefined } : instance,
    isSecure && !isKratos,
  );
  // Kratos reads whole numbers there, of which 0 drains; else it is for what Consul's own weights cannot say.
  const written = isKratos && weight !== undefined && weight !== 0 ? Math.max(1, Math.round(weight)) : weight;
  const isWeightInMeta = written !== undefined && (isKratos || share !== written || "weight" in texts);
  const meta = { ...texts, ...(isWeightInMeta ? { weight: String(written) } : {}) };
  checkMeta(meta, service);
  return {
    ID: id,
    Name: rules.service ?? service,
    Address: hostname,
    Port: port,
    Tags: [...rules.tags, ...(isKratos ? [`version=${version ?? ""}`] : [])],
    Meta: meta,
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

/** @throws RangeError for metadata that the agent would refuse each time (ValidateServiceMetadata in agent/structs). */
function checkMeta(meta: Readonly<Record<string, string>>, service: string): void {
  const pairs = Object.entries(meta);
  if (pairs.length > mostPairs) {
    throw new RangeError(`metadata of ${service} has ${pairs.length} keys, Consul takes ${mostPairs}`);
  }
  for (const [key, value] of pairs) {
    if (key.length > longestKey || !/^(?!consul-)[\w-]+$/.test(key)) {
      throw new RangeError(
        `metadata of ${service} has the key ${show(key)}: Consul takes up to ${longestKey} of A-Z, a-z, 0-9, _ and -, ` +
          `not beginning with "consul-"`,
      );
    }
    const bytes = Buffer.byteLength(value);
    if (bytes > longestValue) {
      throw new RangeError(
        `metadata of ${service} has ${bytes} bytes under ${show(key)}, Consul takes ${longestValue}`,
      );
    }
  }
}
