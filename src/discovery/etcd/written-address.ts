/** Addresses as Go services write them: `host:port` in one field, the scheme elsewhere or nowhere. */
import { parseAddress, withoutGrpcScheme } from "../../core/address.ts";
import type { Instance } from "../../core/contracts.ts";

export interface WrittenAddress {
  /** `host:port`, IPv6 in brackets. */
  readonly authority: string;
  readonly isSecure: boolean;
}

/** @throws RangeError for an address that other machines cannot connect to. */
export function writtenAddress({ address, service }: Pick<Instance, "address" | "service">): WrittenAddress {
  const { scheme, hostname, port } = parseAddress(withoutGrpcScheme(address));
  if (scheme === "unix") {
    throw new RangeError(`${service}: ${address} cannot be announced in etcd, only host and port can`);
  }
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return { authority: `${host}:${port}`, isSecure: scheme === "https" };
}
