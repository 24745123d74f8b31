/** The one method that is called by Connect's clients: bytes to bytes, described by hand instead of by generated code. */
import { create, createFileRegistry } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import {
  type BytesValueSchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";

const bytes = ".google.protobuf.BytesValue";
const file = create(FileDescriptorProtoSchema, {
  name: "orders.proto",
  package: "bench.connect",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [{ name: "Orders", method: [{ name: "GetOrder", inputType: bytes, outputType: bytes }] }],
});
const service = createFileRegistry(file, (name) =>
  name === "google/protobuf/wrappers.proto" ? file_google_protobuf_wrappers.proto : undefined,
).getService("bench.connect.Orders");
if (service === undefined) throw new Error("bench.connect.Orders is not in its own file");

export const Orders = service as GenService<{
  getOrder: {
    readonly methodKind: "unary";
    readonly input: typeof BytesValueSchema;
    readonly output: typeof BytesValueSchema;
  };
}>;
