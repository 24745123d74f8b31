/** The HTTP/1.1 server of a backend, with or without TLS. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { BackendBehaviour, BackendTls } from "./behaviour.ts";
import { IdleConnections } from "./idle-connections.ts";
import type { BackendServer } from "./server.ts";
import { tlsOptions } from "./tls-options.ts";
import type { Work } from "./work.ts";

/** What Node's clients and ours are used to from servers behind which nothing closes earlier. */
const announcedMs = 60_000;

/** HTTP/1.1 connections of any server that has them: when they are idle, and how they end. */
export class PlainConnections {
  readonly #idle: IdleConnections = new IdleConnections();
  #draining = false;

  /** @param next what answers the request. */
  handle(request: IncomingMessage, response: ServerResponse, next: Work): void {
    const { socket } = request;
    this.#idle.busy(socket);
    if (this.#draining) response.setHeader("connection", "close");
    response.once("close", () => {
      // What began before the drain was not told to close its connection.
      if (this.#draining) socket.end();
      else this.#idle.idle(socket);
    });
    next.handle(request, response);
  }

  opened(socket: Socket): void {
    this.#idle.idle(socket);
    socket.once("close", () => this.#idle.busy(socket));
  }

  configure(server: { keepAliveTimeout: number }, { keepAliveTimeoutMs }: BackendBehaviour): void {
    this.#idle.limitMs = keepAliveTimeoutMs;
    server.keepAliveTimeout = keepAliveTimeoutMs === 0 ? announcedMs : 0;
  }

  drain(): void {
    this.#draining = true;
    this.#idle.endAll();
  }
}

export function createPlainServer(work: Work, tls: BackendTls | undefined): BackendServer {
  const connections = new PlainConnections();
  const handle = (request: IncomingMessage, response: ServerResponse) =>
    connections.handle(request, response, work);
  const server: Server = tls === undefined ? createServer(handle) : createTlsServer(tlsOptions(tls), handle);
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    work.stats.connections++;
    connections.opened(socket);
  });
  return {
    server,
    configure: (behaviour) => connections.configure(server, behaviour),
    async drain() {
      const closed = new Promise((resolve) => server.close(resolve));
      connections.drain();
      await closed;
    },
  };
}
