/** Three gRPC servers in the place of `10.0.0.1:50051` to `10.0.0.3:50051`, and the file `orders.proto` that they serve. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Server, ServerCredentials, type ServiceDefinition, type sendUnaryData } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { Setup } from "../setup.ts";

const proto = `syntax = "proto3";
package shop;

service Orders {
  rpc Get(OrderRequest) returns (Order) { option idempotency_level = NO_SIDE_EFFECTS; }
}

message OrderRequest { string id = 1; }
message Order { string id = 1; string server = 2; }
`;

export async function start(folder: string): Promise<Setup> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "orders.proto");
  writeFileSync(file, proto);
  const definition = loadSync(file)["shop.Orders"] as ServiceDefinition;
  const servers = await Promise.all(
    [1, 2, 3].map(async (host) => {
      const address = `10.0.0.${host}:50051`;
      const server = new Server();
      server.addService(definition, {
        Get: (call: { readonly request: { readonly id: string } }, answer: sendUnaryData<object>) =>
          answer(null, { id: call.request.id, server: address }),
      });
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
          error === null ? resolve(bound) : reject(error),
        );
      });
      return { address, server, port };
    }),
  );
  return {
    addresses: Object.fromEntries(servers.map(({ address, port }) => [address, `127.0.0.1:${port}`])),
    async [Symbol.asyncDispose]() {
      for (const { server } of servers) server.forceShutdown();
    },
  };
}
