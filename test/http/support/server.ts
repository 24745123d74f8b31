/** HTTP servers in the test's own process that note every request that arrives. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";

/** One request as the server saw it. */
export interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Everything that came of the body; rejects when the connection broke before its end. */
  readonly body: Promise<Buffer>;
}

export type Answer = (request: IncomingMessage, response: ServerResponse, arrival: Arrival) => unknown;

export interface TestServer extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  readonly address: string;
  readonly port: number;
  readonly server: Server;
  /** In the order in which their headers came. */
  readonly arrivals: readonly Arrival[];
  /** Connections open now. */
  readonly open: ReadonlySet<Socket>;
  /** Connections accepted since the start. */
  readonly accepted: number;
  /** The most that were open at once. */
  readonly peak: number;
}

/** Answers 200 "ok" once the whole request is there; earlier, undici would stop sending its body. */
const ok: Answer = (_, response, { body }) => {
  body.then(
    () => response.end("ok"),
    () => {},
  );
};

/** Starts a server that answers 200 "ok" unless told otherwise. */
export async function startServer(answer: Answer = ok): Promise<TestServer> {
  const arrivals: Arrival[] = [];
  const server = createServer((request, response) => {
    arrivals.push(arrive(request));
    answer(request, response, arrivals.at(-1) as Arrival);
  });
  return await listen(server, arrivals);
}

/** Starts a plain TCP server, for what no HTTP server would do. */
export async function startTcpServer(onSocket: (socket: Socket) => void): Promise<TestServer> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    onSocket(socket);
  });
  return await listen(server, []);
}

/** A port of 127.0.0.1 where nobody listens. */
export async function refusingAddress(): Promise<string> {
  await using server = await startTcpServer(() => {});
  return server.address;
}

/** Makes a server listen on a free port, or where `where` says, and keeps its books. */
export async function listen(
  server: Server,
  arrivals: readonly Arrival[],
  where: { readonly path: string } | { readonly port: number; readonly host: string } = {
    port: 0,
    host: "127.0.0.1",
  },
  scheme = "http",
): Promise<TestServer> {
  const open = new Set<Socket>();
  let accepted = 0;
  let peak = 0;
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    accepted++;
    peak = Math.max(peak, open.size);
    socket.once("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where }, resolve);
  });
  const bound = server.address();
  const port = typeof bound === "string" ? 0 : (bound as AddressInfo).port;
  return {
    address: typeof bound === "string" ? `unix:${bound}` : `${scheme}://127.0.0.1:${port}`,
    port,
    server,
    arrivals,
    open,
    get accepted() {
      return accepted;
    },
    get peak() {
      return peak;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function arrive(request: IncomingMessage): Arrival {
  const body = readAll(request);
  // A test that does not ask for the body does not mind its end.
  body.catch(() => {});
  return {
    method: request.method as string,
    url: request.url as string,
    headers: request.headers,
    body,
  };
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
