/** Servers of Node.js, one for each protocol, that register themselves and count what they have answered. */
import { createServer } from "node:http";
import { createServer as createH2cServer, createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { Server } from "node:net";
import { type RegisterOptions, type Registration, register } from "../../../src/server/index.ts";
import type { Certificate } from "../../support/certificates.ts";
import type { Protocol } from "../../support/protocols.ts";

export interface AnnouncedServer {
  readonly server: Server;
  readonly registration: Registration;
  readonly address: string;
  /** Calls that have arrived. */
  readonly arrived: number;
}

export async function announce(
  { speaks }: Protocol,
  certificate: Certificate | undefined,
  workMs: number,
  options: Pick<RegisterOptions, "registry" | "service"> & Partial<RegisterOptions>,
): Promise<AnnouncedServer> {
  let arrived = 0;
  const answer = (_: unknown, response: { end(text: string): unknown }): void => {
    arrived++;
    setTimeout(() => response.end("ok"), workMs);
  };
  const server = createFor(speaks, certificate ?? {}, answer);
  const registration = register({ ...options, server });
  server.listen(0, "127.0.0.1");
  await registration.ready();
  return {
    server,
    registration,
    address: registration.instances[0]?.address ?? "",
    get arrived() {
      return arrived;
    },
  };
}

function createFor(
  speaks: Protocol["speaks"],
  tls: Partial<Certificate>,
  answer: (request: unknown, response: { end(text: string): unknown }) => void,
): Server {
  switch (speaks) {
    case "http1":
      return createServer(answer);
    case "https1":
      return createHttpsServer(tls, answer);
    case "h2":
      return createSecureServer(tls, answer);
    case "h2c":
      return createH2cServer(answer);
    default:
      throw new Error(`no server speaks ${speaks} here`);
  }
}
