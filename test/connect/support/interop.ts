/**
 * The test service of gRPC's public interop description (grpc.testing.TestService) for Connect's clients, with the field
 * numbers of grpc/testing/messages.proto.
 */
import { create, createFileRegistry, type Message } from "@bufbuild/protobuf";
import type { GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

type Is<Fields> = GenMessage<Message & Fields>;
interface Payload {
  readonly body: Uint8Array;
}
type Empty = Is<object>;
type SimpleRequest = Is<{
  readonly responseSize: number;
  readonly payload?: Payload;
  readonly responseStatus?: { readonly code: number; readonly message: string };
}>;
type SimpleResponse = Is<{ readonly payload?: Payload }>;
type InputRequest = Is<{ readonly payload?: Payload }>;
type InputResponse = Is<{ readonly aggregatedPayloadSize: number }>;
type OutputRequest = Is<{
  readonly responseParameters: { readonly size: number; readonly intervalUs?: number }[];
  readonly responseStatus?: { readonly code: number; readonly message: string };
}>;

interface Method<Kind, Input, Output> {
  readonly methodKind: Kind;
  readonly input: Input;
  readonly output: Output;
}

const { BYTES, INT32, STRING, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

type Field = readonly [name: string, number: number, type: FieldDescriptorProto_Type | string, many?: "many"];

function message(name: string, ...fields: readonly Field[]) {
  return {
    name,
    field: fields.map(([field, number, type, many]) => ({
      name: field,
      number,
      label: many === undefined ? OPTIONAL : REPEATED,
      ...(typeof type === "string" ? { type: MESSAGE, typeName: `.grpc.testing.${type}` } : { type }),
    })),
  };
}

function method(name: string, input: string, output: string, streams = {}) {
  return { name, inputType: `.grpc.testing.${input}`, outputType: `.grpc.testing.${output}`, ...streams };
}

const payload: Field = ["payload", 1, "Payload"];
const file = create(FileDescriptorProtoSchema, {
  name: "interop.proto",
  package: "grpc.testing",
  syntax: "proto3",
  messageType: [
    message("Empty"),
    message("Payload", ["body", 2, BYTES]),
    message("EchoStatus", ["code", 1, INT32], ["message", 2, STRING]),
    message(
      "SimpleRequest",
      ["response_size", 2, INT32],
      ["payload", 3, "Payload"],
      ["response_status", 7, "EchoStatus"],
    ),
    message("SimpleResponse", payload),
    message("StreamingInputCallRequest", payload),
    message("StreamingInputCallResponse", ["aggregated_payload_size", 1, INT32]),
    message("ResponseParameters", ["size", 1, INT32], ["interval_us", 2, INT32]),
    message(
      "StreamingOutputCallRequest",
      ["response_parameters", 2, "ResponseParameters", "many"],
      ["payload", 3, "Payload"],
      ["response_status", 7, "EchoStatus"],
    ),
    message("StreamingOutputCallResponse", payload),
  ],
  service: [
    {
      name: "TestService",
      method: [
        method("EmptyCall", "Empty", "Empty"),
        method("UnaryCall", "SimpleRequest", "SimpleResponse"),
        method("StreamingInputCall", "StreamingInputCallRequest", "StreamingInputCallResponse", {
          clientStreaming: true,
        }),
        method("StreamingOutputCall", "StreamingOutputCallRequest", "StreamingOutputCallResponse", {
          serverStreaming: true,
        }),
        method("FullDuplexCall", "StreamingOutputCallRequest", "StreamingOutputCallResponse", {
          clientStreaming: true,
          serverStreaming: true,
        }),
        method("UnimplementedCall", "Empty", "Empty"),
      ],
    },
  ],
});

const service = createFileRegistry(file, () => undefined).getService("grpc.testing.TestService");
if (service === undefined) throw new Error("grpc.testing.TestService is not in its own file");

export const TestService = service as unknown as GenService<{
  emptyCall: Method<"unary", Empty, Empty>;
  unaryCall: Method<"unary", SimpleRequest, SimpleResponse>;
  streamingInputCall: Method<"client_streaming", InputRequest, InputResponse>;
  streamingOutputCall: Method<"server_streaming", OutputRequest, SimpleResponse>;
  fullDuplexCall: Method<"bidi_streaming", OutputRequest, SimpleResponse>;
  unimplementedCall: Method<"unary", Empty, Empty>;
}>;
