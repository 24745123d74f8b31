/** Three servers of Connect in the place of `10.0.0.1:8080` to `10.0.0.3:8080`, over HTTP/2 without TLS. */
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Orders } from "../modules/orders_pb.ts";
import type { Setup } from "../setup.ts";

export async function start(): Promise<Setup> {
  const servers = await Promise.all([1, 2, 3].map((host) => startServer(`10.0.0.${host}:8080`)));
  return {
    addresses: Object.fromEntries(servers.map(({ address, port }) => [address, `127.0.0.1:${port}`])),
    async [Symbol.asyncDispose]() {
      for (const { close } of servers) close();
    },
  };
}

async function startServer(address: string) {
  const adapter = connectNodeAdapter({
    routes: (router) =>
      router.service(Orders, {
        get: ({ id }) => ({ id, server: address }),
        async *watch({ id }) {
          for (let index = 0; index < 3; index++) yield { id: `${id}.${index}`, server: address };
        },
      }),
  });
  const server = createServer(adapter);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    address,
    port: (server.address() as AddressInfo).port,
    close(): void {
      server.close();
      for (const session of sessions) session.destroy();
    },
  };
}
