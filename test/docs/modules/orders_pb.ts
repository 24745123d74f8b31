/**
 * What `protoc-gen-es` would make of this, for the programs of docs/connect.md, which find it beside them:
 *
 *   package shop;
 *   service Orders {
 *     rpc Get(OrderRequest) returns (Order) { option idempotency_level = NO_SIDE_EFFECTS; }
 *     rpc Watch(OrderRequest) returns (stream Order);
 *   }
 *   message OrderRequest { string id = 1; }
 *   message Order { string id = 1; string server = 2; }
 *
 * The text is its google.protobuf.FileDescriptorProto in base64.
 */
import type { Message } from "@bufbuild/protobuf";
import {
  fileDesc,
  type GenFile,
  type GenMessage,
  type GenService,
  messageDesc,
  serviceDesc,
} from "@bufbuild/protobuf/codegenv2";

const file: GenFile = fileDesc(
  "CgxvcmRlcnMucHJvdG8SBHNob3AiHgoMT3JkZXJSZXF1ZXN0Eg4KAmlkGAEgASgJUgJpZCIvCgVPcmRlchIOCgJpZBgBIAEoCVICaWQSFgoGc2Vy" +
    "dmVyGAIgASgJUgZzZXJ2ZXIyYQoGT3JkZXJzEisKA0dldBISLnNob3AuT3JkZXJSZXF1ZXN0Ggsuc2hvcC5PcmRlciIDkAIBEioKBVdhdGNo" +
    "EhIuc2hvcC5PcmRlclJlcXVlc3QaCy5zaG9wLk9yZGVyMAFiBnByb3RvMw",
);

export type OrderRequest = Message<"shop.OrderRequest"> & { id: string };
export type Order = Message<"shop.Order"> & { id: string; server: string };

export const OrderRequestSchema: GenMessage<OrderRequest> = messageDesc(file, 0);
export const OrderSchema: GenMessage<Order> = messageDesc(file, 1);

export const Orders: GenService<{
  get: { methodKind: "unary"; input: typeof OrderRequestSchema; output: typeof OrderSchema };
  watch: { methodKind: "server_streaming"; input: typeof OrderRequestSchema; output: typeof OrderSchema };
}> = serviceDesc(file, 0);
