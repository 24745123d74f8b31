/** What discovery reports about one instance, and the check that it passes before anything uses it. */
import { type Address, parseAddress } from "./address.ts";

/** One instance of a service, as discovery reports it: plain, readonly data. */
export interface Endpoint {
  /** `http://host:port`, `https://...`, `host:port` (takes the cluster's `scheme`) or `unix:/path`. */
  readonly address: string;
  /** Share of the calls relative to the others, from 0 to 4,294,967,295; 0 means drained. Default 1. */
  readonly weight?: number | undefined;
  /** Where the instance runs, compared with the caller's own `zone`. */
  readonly zone?: string | undefined;
  /** Fail-over tier: 0 (the default) is used first. An integer from 0 to 127. */
  readonly priority?: number | undefined;
  /** Whatever the registry knows besides; handed to policies and views as it is. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** An endpoint that has been checked, with its defaults filled in. */
export interface CheckedEndpoint {
  readonly address: Address;
  readonly weight: number;
  readonly zone: string | undefined;
  readonly priority: number;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** xDS' limit for the weights of a locality (a u32), taken for each endpoint. */
const heaviestWeight = 4_294_967_295;
/** Envoy's number of priority levels. */
const lowestPriority = 127;
const longestZone = 253;
const mostMetadataKeys = 256;
const noMetadata: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null));

/**
 * Checks one endpoint from outside.
 *
 * @throws RangeError that names the field and the value it got. The caller refuses this endpoint alone.
 */
export function checkEndpoint(
  endpoint: Endpoint | string,
  scheme: "http" | "https" = "http",
): CheckedEndpoint {
  const given: Endpoint = typeof endpoint === "string" ? { address: endpoint } : endpoint;
  if (typeof given !== "object" || given === null) {
    throw new RangeError(
      `endpoint must be an address or an object, got ${given === null ? "null" : typeof given}`,
    );
  }
  const address = parseAddress(given.address, scheme);
  const { weight = 1, zone, priority = 0 } = given;
  if (typeof weight !== "number" || !(weight >= 0 && weight <= heaviestWeight)) {
    throw new RangeError(
      `weight of ${address.text} must be from 0 to ${heaviestWeight}, got ${brief(weight)}`,
    );
  }
  if (zone !== undefined && (typeof zone !== "string" || zone.length > longestZone)) {
    throw new RangeError(`zone of ${address.text} must be a string of at most ${longestZone} characters`);
  }
  if (!Number.isInteger(priority) || priority < 0 || priority > lowestPriority) {
    throw new RangeError(
      `priority of ${address.text} must be an integer from 0 to ${lowestPriority}, got ${brief(priority)}`,
    );
  }
  return { address, weight, zone, priority, metadata: checkMetadata(given.metadata, address.text) };
}

/** Copies metadata into an object without a prototype: keys from a registry never meet `Object.prototype`. */
function checkMetadata(metadata: unknown, address: string): Readonly<Record<string, unknown>> {
  if (metadata === undefined || metadata === null) return noMetadata;
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    throw new RangeError(`metadata of ${address} must be an object, got ${brief(metadata)}`);
  }
  const keys = Object.keys(metadata);
  if (keys.length > mostMetadataKeys) {
    throw new RangeError(
      `metadata of ${address} has ${keys.length} keys, at most ${mostMetadataKeys} are allowed`,
    );
  }
  const copy: Record<string, unknown> = Object.create(null);
  for (const key of keys) {
    if (key === "__proto__") throw new RangeError(`metadata of ${address} has the key "__proto__"`);
    copy[key] = (metadata as Record<string, unknown>)[key];
  }
  return Object.freeze(copy);
}

function brief(value: unknown): string {
  // An object may refuse to become a string, and says nothing useful when it does.
  const text =
    typeof value === "string"
      ? JSON.stringify(value)
      : typeof value === "object"
        ? nameOf(value)
        : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function nameOf(value: object | null): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : "an object";
}
