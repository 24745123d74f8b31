/** The one gRPC method of the fault bench and of the fault tests: bytes to bytes, so that no .proto is needed. */
import { Metadata, type MethodDefinition } from "@grpc/grpc-js";
import type { OrdersClient } from "../../test/grpc/support/clients.ts";
import { totalMs } from "./plan.ts";

const message: Buffer = Buffer.from(JSON.stringify({ id: 42 }));

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}

export const getOrder: MethodDefinition<Buffer, Buffer> = {
  path: "/bench.Orders/GetOrder",
  requestStream: false,
  responseStream: false,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
};

/** One call. By default it has `totalMs`: what tells a hang from a slow answer. */
export async function askForOrder(client: OrdersClient, withinMs: number = totalMs): Promise<void> {
  await client.unary(getOrder, { deadline: Date.now() + withinMs }, new Metadata(), message);
}
