/** A socket to a node's real address, whatever the requests' `:authority` says, over TLS with HTTP/2 agreed on. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TlsMaterial } from "../cluster/tls-files.ts";
import type { Address } from "../core/address.ts";

/** How long one of several addresses of a name is tried before the next one joins (RFC 8305 says 250 ms). */
const nextAddressMs = 250;

export interface DialOptions {
  readonly connectMs: number;
  readonly tls: TlsMaterial;
  /** The name that the certificate must carry. */
  readonly servername: string;
}

export function dial(
  { scheme, hostname, port, socketPath }: Address,
  { tls, servername, connectMs }: DialOptions,
): Socket {
  if (scheme === "unix") return connectTcp({ path: socketPath });
  const where = {
    host: hostname,
    port,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: Math.max(10, Math.min(nextAddressMs, Math.floor(connectMs / 4))),
  };
  if (scheme === "http") return connectTcp(where);
  const { ca, cert, key } = tls;
  return connectTls({
    ...where,
    servername,
    ALPNProtocols: ["h2"],
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED does not unsay it.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: ca as string | Buffer }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
}
