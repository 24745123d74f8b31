/** Protected servers of each kind over which the same tests run: what comes in, and by whose means. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createH2cServer } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import express from "express";
import fastify from "fastify";
import type { BalancerOptions } from "../../../src/index.ts";
import type { Protection } from "../../../src/server/index.ts";

/** Over HTTP/2 both are Node.js's own likenesses of these. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface ServerKind {
  readonly name: string;
  readonly connections: NonNullable<BalancerOptions["connections"]>;
  /** Listens, with the handler under the protection. */
  start(protection: Protection, handler: Handler): Promise<ProtectedServer>;
}

export interface ProtectedServer extends AsyncDisposable {
  readonly server: Server;
  readonly address: string;
}

export const kinds: readonly ServerKind[] = [
  {
    name: "node:http",
    connections: {},
    start: (protection, handler) => listen(createServer(protection.listener(handler))),
  },
  {
    name: "node:http2",
    connections: { http2: "prior-knowledge" },
    start: (protection, handler) => listen(createH2cServer(protection.listener(handler as never))),
  },
  {
    name: "Express",
    connections: {},
    start(protection, handler) {
      const app = express();
      app.use(protection.middleware());
      app.use((request, response) => handler(request, response));
      return listen(createServer(app));
    },
  },
  {
    name: "Fastify",
    connections: {},
    async start(protection, handler) {
      const app = fastify();
      await app.register(protection.fastify());
      // As it comes: Fastify would read a body before the handler runs.
      app.addContentTypeParser("*", (_request, _payload, done) => done(null));
      app.all("/*", (request, reply) => {
        reply.hijack();
        handler(request.raw, reply.raw);
      });
      await app.ready();
      return listen(app.server);
    },
  },
];

async function listen(server: Server): Promise<ProtectedServer> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    server,
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      (server as { closeAllConnections?(): void }).closeAllConnections?.();
      await closed;
    },
  };
}
