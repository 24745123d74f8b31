/** The address that a server is announced under: where others reach it, and never "everywhere". */
import type { AddressInfo } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { resolve } from "node:path";
import { parseAddress } from "../core/address.ts";

/** As `os.networkInterfaces()` has them. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

export interface AdvertisedOptions {
  readonly scheme: "http" | "https";
  /** The host to be announced in place of the bound one. */
  readonly host: string | undefined;
}

/**
 * The address of a bound server. One that is bound to all interfaces is announced with the first address that is not
 * internal, IPv4 before IPv6, or with loopback where there is no other.
 *
 * @param bound what `server.address()` says.
 * @throws RangeError for a host that nobody can connect to.
 */
export function advertisedAddress(
  bound: AddressInfo | string,
  { scheme, host }: AdvertisedOptions,
  interfaces: Interfaces,
): string {
  if (typeof bound === "string") return `unix:${resolve(bound)}`;
  const chosen = host ?? (isWildcard(bound.address) ? reachableAddress(bound, interfaces) : bound.address);
  return checkAdvertised(`${scheme}://${bracketed(chosen)}:${bound.port}`, "host");
}

/** A host as it stands in a URL: IPv6 in brackets, which it may have already. */
export function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** @throws RangeError for what is no address, or means all interfaces. */
export function checkAdvertised(address: string, option: string): string {
  const { text, hostname } = parseAddress(address);
  if (isWildcard(hostname)) {
    throw new RangeError(
      `register.${option} must be an address that others can connect to, got "${hostname}", which means all interfaces`,
    );
  }
  return text;
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "";
}

function reachableAddress({ family }: AddressInfo, interfaces: Interfaces): string {
  const external = Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter((each) => !each.internal && !isLinkLocal(each.address));
  const v4 = external.find((each) => each.family === "IPv4");
  // Bound to "::", it takes IPv4 connections, too.
  const found = v4 ?? (family === "IPv6" ? external.find((each) => each.family === "IPv6") : undefined);
  return found?.address ?? "127.0.0.1";
}

/** Only good on one link, and for IPv6 only with the name of one's own interface. */
function isLinkLocal(address: string): boolean {
  return address.startsWith("169.254.") || /^fe[89ab]/i.test(address);
}
