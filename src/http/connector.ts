/**
 * Makes the connections to one node: to its real address whatever the Host header says, and within `connectMs`
 * exactly (undici's own connect timeout is up to a second late, undici.md).
 */
import type { Socket } from "node:net";
import { buildConnector, errors } from "undici";
import type { TlsMaterial } from "../cluster/tls-files.ts";
import type { Address } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";

/** From how late on a timer tells of a blocked event loop, not of ordinary work. */
const blockedFromMs = 20;
/** How long one of several addresses of a name is tried before the next one joins (RFC 8305 says 250 ms). */
const nextAddressMs = 250;

export type Http2 = "auto" | "never" | "prior-knowledge";

export interface ConnectorOptions {
  readonly connectMs: number;
  readonly tls: TlsMaterial;
  /** The name that the certificate must carry. */
  readonly servername: string;
  readonly http2: Http2;
  readonly clock: Clock;
  /** Holds each socket for as long as it is being connected, so that its owner can give it up. */
  readonly connecting: Set<Socket>;
}

/** Makes one connection; `alpnProtocol` of the socket says whether it speaks HTTP/2. */
export type Connect = (callback: (error: Error | null, socket: Socket | null) => void) => void;

export function createConnector(address: Address, options: ConnectorOptions): Connect {
  const { connectMs, clock, connecting, http2 } = options;
  const { ca, cert, key } = options.tls;
  const isSecure = address.scheme === "https";
  // The session cache in here is of this address and these certificates, and shared with nobody.
  const connect = buildConnector({
    // 0 switches undici's own timer off.
    timeout: 0,
    allowH2: http2 !== "never",
    preferH2: true,
    ...(http2 === "prior-knowledge" && !isSecure ? { useH2c: true } : {}),
    ...(address.scheme === "unix" ? { socketPath: address.socketPath } : {}),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: Math.max(10, Math.min(nextAddressMs, Math.floor(connectMs / 4))),
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED does not unsay it.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: ca as string | Buffer }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  } as buildConnector.BuildOptions);
  const { hostname, port } = address;
  const target = {
    protocol: isSecure ? "https:" : "http:",
    hostname,
    host: hostname,
    port: String(port),
    servername: isSecure ? options.servername : undefined,
  } as buildConnector.Options;
  return (callback) => {
    const dueAt = clock.now() + connectMs;
    let socket: Socket | undefined;
    const giveUp = () => {
      socket?.destroy(
        new errors.ConnectTimeoutError(`no connection to ${address.text} within ${connectMs} ms`),
      );
    };
    let timer = clock.schedule(() => {
      // A timer as late as this means that our own process stood still, and the answer may be waiting to be read.
      const lateMs = clock.now() - dueAt;
      if (lateMs < blockedFromMs) giveUp();
      else timer = clock.schedule(giveUp, Math.min(lateMs, connectMs));
    }, connectMs);
    try {
      // The types hide it, but the connector returns the socket (undici.md, "Dead peer").
      socket = connect(target, (error, connected) => {
        timer.cancel();
        if (socket !== undefined) connecting.delete(socket);
        // On failure undici leaves the second one out.
        callback(error, (connected ?? null) as Socket | null);
      }) as unknown as Socket;
    } catch (error) {
      timer.cancel();
      // As an event would come: whoever asked is not done with asking.
      queueMicrotask(() => callback(error as Error, null));
      return;
    }
    // Whoever waits for the connection has a deadline of its own that keeps the process alive.
    socket.unref();
    connecting.add(socket);
  };
}
