/** A peer of HTTP/2 without a gRPC server: the test decides what becomes of each stream and session. */
import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

export interface RawPeer extends AsyncDisposable {
  readonly address: string;
  /** Those that stand. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  /** All that there have been. */
  readonly connections: number;
}

/** @param idleMs how long a connection that was used may then be unused before it is ended by a GOAWAY; 0 for ever. */
export async function startRawPeer(
  handle: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  idleMs = 0,
): Promise<RawPeer> {
  const sessions = new Set<ServerHttp2Session>();
  let connections = 0;
  const server = createServer();
  server.on("session", (session) => {
    connections++;
    sessions.add(session);
    session.on("error", () => {});
    session.once("close", () => sessions.delete(session));
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    // A test that refuses or loses streams knows that they end so.
    stream.on("error", () => {});
    const { session } = stream;
    if (idleMs > 0 && session?.listenerCount("timeout") === 0)
      session.setTimeout(idleMs, () => session.close());
    handle(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}

const answer = Buffer.from("1");
/** An uncompressed message with its length before it, as gRPC over HTTP/2 frames it. */
const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, answer.length]), answer]);

/** Ends a unary call with OK. */
export function answerWell(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.resume();
  stream.end(framed);
}
