/** An HTTP/2 server whose streams the test answers itself: for refusals and GOAWAY, which no framework sends on demand. */
import {
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

export interface RawServer extends AsyncDisposable {
  readonly address: string;
  /** Streams that came in. */
  readonly streams: number;
  /** Of them those that are not over. */
  readonly open: number;
  /** Connections that came in. */
  readonly sessions: readonly ServerHttp2Session[];
}

export async function startRawServer(
  answer: (
    stream: ServerHttp2Stream & { readonly session: ServerHttp2Session },
    headers: IncomingHttpHeaders,
  ) => void,
): Promise<RawServer> {
  const server = createServer();
  const sessions: ServerHttp2Session[] = [];
  let streams = 0;
  let open = 0;
  server.on("session", (session) => {
    sessions.push(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream, headers) => {
    streams++;
    open++;
    stream.once("close", () => open--);
    stream.on("error", () => {});
    answer(stream as Parameters<typeof answer>[0], headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get streams() {
      return streams;
    },
    get open() {
      return open;
    },
    sessions,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
