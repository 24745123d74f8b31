/** The server of a backend, by the protocol that it is to speak. */
import type { Server } from "node:net";
import type { BackendBehaviour, BackendPlace } from "./behaviour.ts";
import { createPlainServer } from "./plain-server.ts";
import { createSessionServer } from "./session-server.ts";
import type { Work } from "./work.ts";

export interface BackendServer {
  readonly server: Server;
  configure(behaviour: BackendBehaviour): void;
  /** Takes no new connections, lets clients know on those it has, and resolves when the last one is closed. */
  drain(): Promise<void>;
}

/** @throws TypeError when TLS is asked for without a certificate. */
export function createBackendServer(work: Work, { protocol = "http1", tls }: BackendPlace): BackendServer {
  if (protocol === "http1") return createPlainServer(work, undefined);
  if (protocol === "h2c") return createSessionServer(work, undefined, false);
  if (tls === undefined) throw new TypeError(`a backend that speaks ${protocol} needs tls: { key, cert }`);
  if (protocol === "https1") return createPlainServer(work, tls);
  return createSessionServer(work, tls, protocol === "https");
}
