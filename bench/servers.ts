/**
 * The servers that the call bench talks to, in one process of their own, answering at once: five ports that speak
 * HTTP/1.1, five that speak gRPC, one that speaks HTTP/2 over plain TCP and one of Connect.
 */
import { createServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Server, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import { Orders } from "./connect-service.ts";
import { getOrder } from "./faults/grpc-method.ts";

/** What this process tells when all of them listen. */
export interface ServerPorts {
  readonly http1: readonly number[];
  readonly http2: number;
  readonly grpc: readonly number[];
  readonly connect: number;
}

const answer = Buffer.from(JSON.stringify({ id: 42, state: "shipped", items: [1, 2, 3] }));

const http1 = await Promise.all(
  Array.from({ length: 5 }, async () => {
    const server = createServer((_request, response) => {
      response.setHeader("content-type", "application/json");
      response.setHeader("content-length", answer.length);
      response.end(answer);
    });
    server.keepAliveTimeout = 600_000;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  }),
);
const http2Server = createHttp2Server();
http2Server.on("stream", (stream: ServerHttp2Stream) => {
  stream.respond({ ":status": 200, "content-type": "application/json", "content-length": answer.length });
  stream.end(answer);
});
await new Promise<void>((resolve) => http2Server.listen(0, "127.0.0.1", resolve));
const http2 = (http2Server.address() as AddressInfo).port;
const grpc = await Promise.all(
  Array.from({ length: 5 }, async () => {
    const server = new Server();
    server.addService(
      { getOrder },
      { getOrder: (_call: unknown, reply: sendUnaryData<Buffer>) => reply(null, answer) },
    );
    return new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }),
);
const connectServer = createHttp2Server(
  connectNodeAdapter({
    routes: (router) => router.service(Orders, { getOrder: () => ({ value: new Uint8Array(answer) }) }),
  }),
);
await new Promise<void>((resolve) => connectServer.listen(0, "127.0.0.1", resolve));
const connect = (connectServer.address() as AddressInfo).port;
process.on("disconnect", () => process.exit(0));
process.send?.({ http1, http2, grpc, connect } satisfies ServerPorts);
