/**
 * Makes the connections to one node: to its real address whatever the Host header says, and within `connectMs`
 * exactly (undici's own connect timeout is up to a second late, undici.md).
 */
import type { Socket } from "node:net";
import { buildConnector, errors } from "undici";
import type { TlsOptions } from "../cluster/options.ts";
import type { Address } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";

/** From how late on a timer tells of a blocked event loop, not of ordinary work. */
const blockedFromMs = 20;

export interface ConnectorOptions {
  readonly connectMs: number;
  readonly tls: TlsOptions;
  /** The name that the certificate must carry. */
  readonly servername: string;
  readonly clock: Clock;
  /** Holds each socket for as long as it is being connected, so that its owner can give it up. */
  readonly connecting: Set<Socket>;
}

export function createConnector(address: Address, options: ConnectorOptions): buildConnector.connector {
  const { connectMs, clock, connecting } = options;
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
    const dueAt = clock.now() + connectMs;
    const giveUp = () => {
      socket.destroy(
        new errors.ConnectTimeoutError(`no connection to ${address.text} within ${connectMs} ms`),
      );
    };
    let timer = clock.schedule(() => {
      // A timer as late as this means that our own process stood still, and the answer may be waiting to be read.
      const lateMs = clock.now() - dueAt;
      if (lateMs < blockedFromMs) giveUp();
      else timer = clock.schedule(giveUp, Math.min(lateMs, connectMs));
    }, connectMs);
    const target = { ...given, hostname, host: hostname, port: String(port), servername };
    // The types hide it, but the connector returns the socket (undici.md, "Dead peer").
    const socket = connect(target as buildConnector.Options, (...result) => {
      timer.cancel();
      connecting.delete(socket);
      callback(...result);
    }) as unknown as Socket;
    connecting.add(socket);
  };
}
