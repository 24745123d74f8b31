/** HTTP/2 servers in the test's own process, over TLS or plain TCP, whose sessions and streams the test can reach. */
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Certificate } from "../../support/certificates.ts";

export interface Http2Arrival {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly session: ServerHttp2Session;
}

export type Http2Answer = (stream: ServerHttp2Stream, arrival: Http2Arrival) => void;

export interface Http2TestServer extends AsyncDisposable {
  /** `https://127.0.0.1:port` with a certificate, else `http://127.0.0.1:port` for HTTP/2 over plain TCP. */
  readonly address: string;
  readonly arrivals: readonly Http2Arrival[];
  /** Sessions open now, and all that there ever were. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  readonly sessionCount: number;
  readonly sockets: ReadonlySet<Socket>;
}

export interface Http2ServerOptions {
  readonly certificate?: Certificate;
  /** The most streams at once that it announces. */
  readonly maxStreams?: number;
}

/** Answers 200 "ok" once the request is whole. */
export const answerOk: Http2Answer = (stream) => {
  stream.resume();
  stream.once("end", () => {
    if (stream.destroyed) return;
    stream.respond({ ":status": 200 });
    stream.end("ok");
  });
};

export async function startHttp2Server(
  answer: Http2Answer = answerOk,
  { certificate, maxStreams }: Http2ServerOptions = {},
): Promise<Http2TestServer> {
  const arrivals: Http2Arrival[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<Socket>();
  let sessionCount = 0;
  const settings = maxStreams === undefined ? {} : { maxConcurrentStreams: maxStreams };
  const server: Http2Server =
    certificate === undefined
      ? createServer({ settings })
      : createSecureServer({ ...certificate, settings, allowHTTP1: false });
  server.on(certificate === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", (session) => {
    sessions.add(session);
    sessionCount++;
    session.on("error", () => {});
    session.once("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    const session = stream.session as ServerHttp2Session;
    const arrival = { method: String(headers[":method"]), path: String(headers[":path"]), headers, session };
    arrivals.push(arrival);
    answer(stream, arrival);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    arrivals,
    sessions,
    get sessionCount() {
      return sessionCount;
    },
    sockets,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
