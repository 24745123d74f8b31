/** The HTTP/2 server of a backend, with or without TLS; over TLS it may speak HTTP/1.1 to those who wish. */
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { TLSSocket } from "node:tls";
import type { BackendTls } from "./behaviour.ts";
import { PlainConnections } from "./plain-server.ts";
import type { BackendServer } from "./server.ts";
import { tlsOptions } from "./tls-options.ts";
import type { Work } from "./work.ts";

export function createSessionServer(
  work: Work,
  tls: BackendTls | undefined,
  allowHTTP1: boolean,
): BackendServer {
  const sessions = new Set<ServerHttp2Session>();
  const plain = new PlainConnections();
  let goAways: NodeJS.Timeout | undefined;

  const handle = (request: Http2ServerRequest, response: Http2ServerResponse) => {
    if (request.httpVersionMajor >= 2) work.handle(request, response);
    // Over a connection that agreed on HTTP/1.1, Node hands over that version's objects.
    else plain.handle(request as unknown as IncomingMessage, response as unknown as ServerResponse, work);
  };
  const server: Http2Server | Http2SecureServer =
    tls === undefined ? createServer(handle) : createSecureServer({ ...tlsOptions(tls), allowHTTP1 }, handle);
  server.on("session", (session: ServerHttp2Session) => {
    work.stats.connections++;
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    limitIdleTime(session);
  });
  // A client that breaks off is nothing that a server is surprised at.
  server.on("sessionError", () => {});
  if (allowHTTP1) {
    server.on("secureConnection", (socket: TLSSocket) => {
      if (socket.alpnProtocol === "h2") return;
      work.stats.connections++;
      plain.opened(socket);
    });
  }

  function limitIdleTime(session: ServerHttp2Session): void {
    session.setTimeout(work.behaviour.keepAliveTimeoutMs, () => session.close());
  }

  /** GOAWAY with the last stream that will be served; the session ends with the last of them. */
  function sendAllAway(): void {
    for (const session of sessions) if (!session.closed) session.close();
  }

  return {
    server,
    configure(behaviour) {
      plain.configure(server as unknown as { keepAliveTimeout: number }, behaviour);
      for (const session of sessions) limitIdleTime(session);
      clearInterval(goAways);
      goAways = undefined;
      if (behaviour.goAwayEveryMs > 0) goAways = setInterval(sendAllAway, behaviour.goAwayEveryMs);
    },
    async drain() {
      clearInterval(goAways);
      const closed = new Promise((resolve) => server.close(resolve));
      plain.drain();
      sendAllAway();
      await closed;
    },
  };
}
