/** An instance as registries keep it that have a host, a port and texts for it, and no scheme: Consul and Nacos. */
import { parseAddress } from "../core/address.ts";
import type { Instance } from "../core/contracts.ts";

export interface WrittenHost {
  /** IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  readonly isSecure: boolean;
}

/** @throws RangeError for an instance whose address is none that others could call. */
export function writtenHost({ service, address: given }: Instance): WrittenHost {
  // Only the scheme differs: gRPC's has no URL rules of its own.
  const address = parseAddress(given.replace(/^grpc(s?):/i, "http$1:"));
  if (address.scheme === "unix") {
    throw new RangeError(`address of ${service} must have a host and a port, got ${address.text}`);
  }
  return { hostname: address.hostname, port: address.port, isSecure: address.scheme === "https" };
}

/** The metadata as texts, with what has no field of its own. What the instance itself says goes before. */
export function writtenTexts(
  { metadata, zone, version }: Pick<Instance, "metadata" | "zone" | "version">,
  isSecure: boolean,
): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(metadata ?? {})) {
    if (value !== undefined) texts[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  if (zone !== undefined) texts.zone = zone;
  if (version !== undefined) texts.version = version;
  // Spring Cloud's, and read as https: by whoever finds it.
  if (isSecure) texts.secure = "true";
  else if (texts.secure === "true") delete texts.secure;
  return texts;
}
