/** Servers of the Shop in this process, made by connect-node over HTTP/2: all three protocols at once. */
import { createSecureServer, createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Certificate } from "../../support/certificates.ts";
import { type ShopCounts, shopRoutes } from "./shop-service.ts";

export interface ShopServer extends AsyncDisposable {
  readonly address: string;
  readonly counts: ShopCounts;
  /** Connections that were made to it, and that stand. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  readonly connections: number;
  readonly http2: Http2Server;
  /** By `:authority` of the requests. */
  readonly authorities: ReadonlySet<string>;
}

export interface ShopServerOptions {
  readonly tls?: Certificate;
  readonly maxConcurrentStreams?: number;
  readonly port?: number;
}

export async function startShop(options: ShopServerOptions = {}): Promise<ShopServer> {
  const { tls, maxConcurrentStreams, port = 0 } = options;
  const counts: ShopCounts = { started: 0, aborted: 0, inflight: 0, most: 0 };
  const authorities = new Set<string>();
  const sessions = new Set<ServerHttp2Session>();
  let connections = 0;
  let address = "";
  const adapter = connectNodeAdapter({ routes: shopRoutes(() => address, counts) });
  const settings = maxConcurrentStreams === undefined ? {} : { settings: { maxConcurrentStreams } };
  const server = tls === undefined ? createServer(settings) : createSecureServer({ ...settings, ...tls });
  server.on("request", (request, response) => {
    authorities.add(request.authority);
    adapter(request, response);
  });
  server.on("session", (session) => {
    connections++;
    sessions.add(session);
    session.on("error", () => {});
    session.once("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  address = `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    address,
    counts,
    sessions,
    get connections() {
      return connections;
    },
    http2: server,
    authorities,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
