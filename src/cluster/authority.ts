/**
 * What a node is called: the Host header of its calls, and the name that its certificate must carry.
 *
 * Connections go to the real address whatever these say.
 */
import { isIP } from "node:net";
import type { Address } from "../core/address.ts";
import type { ResolvedOptions } from "./options.ts";

type NamingOptions = Pick<ResolvedOptions, "name" | "host" | "tls">;

/**
 * The origin that gives requests the right Host header: a DNS-named node's own; for IP addresses and sockets `host`,
 * else the node's address over http and the service's name over https.
 */
export function virtualOrigin(address: Address, options: NamingOptions): URL {
  const scheme = address.scheme === "https" ? "https" : "http";
  const isNamed = address.scheme !== "unix" && isIP(address.hostname) === 0;
  if (isNamed) return new URL(address.text);
  if (options.host !== undefined) return new URL(`${scheme}://${options.host}`);
  return address.scheme === "http" ? new URL(address.text) : new URL(`${scheme}://${options.name}`);
}

/** The name that the certificate of an https node must carry. */
export function servernameOf(address: Address, options: NamingOptions): string {
  return options.tls.servername ?? virtualOrigin(address, options).hostname;
}
