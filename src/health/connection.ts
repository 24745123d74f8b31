/**
 * A connection of a check's own to a node: to its real address, and over TLS with the certificate verified as that of
 * any call is. It does not keep the process alive.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { CheckTarget } from "../core/health-check.ts";

/**
 * @param onOpen told once: without an error when the connection is there, its TLS handshake done.
 * @returns the socket, which is the caller's to destroy.
 */
export function openConnection(target: CheckTarget, onOpen: (error: Error | null) => void): Socket {
  const { address, servername, tls } = target;
  const isSecure = address.scheme === "https";
  const where =
    address.scheme === "unix" ? { path: address.socketPath } : { host: address.hostname, port: address.port };
  const socket = isSecure
    ? connectTls({
        ...where,
        servername,
        // As Node has it by default, unless the environment says otherwise; a check does not heed that.
        rejectUnauthorized: true,
        ALPNProtocols: ["http/1.1"],
        ...(tls.ca === undefined ? {} : { ca: tls.ca as string | Buffer }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
      })
    : connectTcp(where);
  let isTold = false;
  const tell = (error: Error | null) => {
    if (isTold) return;
    isTold = true;
    onOpen(error);
  };
  socket.once(isSecure ? "secureConnect" : "connect", () => tell(null));
  // Stays for as long as the socket: one that breaks while nobody reads from it must not end the process.
  socket.on("error", tell);
  socket.once("close", () => tell(new Error("the connection was closed while it was being made")));
  socket.setNoDelay(true);
  socket.unref();
  return socket;
}
