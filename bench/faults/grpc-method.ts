/** The one gRPC method of the fault bench: bytes to bytes, so that no .proto is needed. */
import type { MethodDefinition } from "@grpc/grpc-js";

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
