/**
 * Makes the connections to one node: to its real address whatever the Host header says, and within `connectMs`
 * exactly (undici's own connect timeout is up to a second late, undici.md).
 */
import type { Socket } from "node:net";
import { buildConnector, errors } from "undici";
import type { TlsOptions } from "../cluster/options.ts";
import type { Address } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";

export interface ConnectorOptions {
  readonly connectMs: number;
  readonly tls: TlsOptions;
  /** The name that the certificate must carry. */
  readonly servername: string;
  readonly clock: Clock;
}

export function createConnector(address: Address, options: ConnectorOptions): buildConnector.connector {
  const { connectMs, clock } = options;
  const { ca, cert, key } = options.tls;
  const connect = buildConnector({
    // 0 switches undici's own timer off.
    timeout: 0,
    allowH2: false,
    ...(address.scheme === "unix" ? { socketPath: address.socketPath } : {}),
    ...(ca === undefined ? {} : { ca: ca as string | Buffer }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  });
  const { hostname, port } = address;
  const servername = address.scheme === "https" ? options.servername : undefined;
  return (given, callback) => {
    const timer = clock.schedule(() => {
      socket.destroy(
        new errors.ConnectTimeoutError(`no connection to ${address.text} within ${connectMs} ms`),
      );
    }, connectMs);
    const target = { ...given, hostname, host: hostname, port: String(port), servername };
    // The types hide it, but the connector returns the socket (undici.md, "Dead peer").
    const socket = connect(target as buildConnector.Options, (...result) => {
      timer.cancel();
      callback(...result);
    }) as unknown as Socket;
  };
}
