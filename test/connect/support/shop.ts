/**
 * A service for tests with a method of each kind, described by hand instead of by generated code: its messages are
 * protobuf's own StringValue, whose texts are JSON.
 */
import { create, createFileRegistry } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_wrappers,
  MethodOptions_IdempotencyLevel,
  type StringValueSchema,
} from "@bufbuild/protobuf/wkt";

type Text = typeof StringValueSchema;
export interface Method<Kind> {
  readonly methodKind: Kind;
  readonly input: Text;
  readonly output: Text;
}

/** What a call asks for. */
export interface Wish {
  /** The answer comes so much later. */
  readonly afterMs?: number;
  /** The answer is an error of this code. */
  readonly code?: number;
  /** Only where the answering process is this one. */
  readonly at?: string;
  /** How many bytes the answer is filled up with. */
  readonly bytes?: number;
  /** Messages of a server's stream. */
  readonly messages?: number;
  /** The caller's messages that are read before its stream is answered to the end; all by default. */
  readonly reads?: number;
}

/** What an answer says. */
export interface Told {
  /** The address of the server. */
  readonly from: string;
  readonly bytes: number;
  /** Messages that came before this answer. */
  readonly heard: number;
  /** What was left of the deadline; undefined without one. */
  readonly leftMs?: number;
}

const text = ".google.protobuf.StringValue";
const method = (name: string, idempotencyLevel: number, streams = {}) => ({
  name,
  inputType: text,
  outputType: text,
  options: { idempotencyLevel },
  ...streams,
});
const { IDEMPOTENCY_UNKNOWN, NO_SIDE_EFFECTS } = MethodOptions_IdempotencyLevel;

const file = create(FileDescriptorProtoSchema, {
  name: "shop.proto",
  package: "evenkeel.test",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [
    {
      name: "Shop",
      method: [
        method("Get", NO_SIDE_EFFECTS),
        method("Buy", IDEMPOTENCY_UNKNOWN),
        method("List", NO_SIDE_EFFECTS, { serverStreaming: true }),
        method("Fill", IDEMPOTENCY_UNKNOWN, { clientStreaming: true }),
        method("Talk", IDEMPOTENCY_UNKNOWN, { clientStreaming: true, serverStreaming: true }),
      ],
    },
  ],
});

const service = createFileRegistry(file, (name) =>
  name === "google/protobuf/wrappers.proto" ? file_google_protobuf_wrappers.proto : undefined,
).getService("evenkeel.test.Shop");
if (service === undefined) throw new Error("evenkeel.test.Shop is not in its own file");

export const Shop = service as GenService<{
  get: Method<"unary">;
  buy: Method<"unary">;
  list: Method<"server_streaming">;
  fill: Method<"client_streaming">;
  talk: Method<"bidi_streaming">;
}>;

export function ask(wish: Wish = {}): { value: string } {
  return { value: JSON.stringify(wish) };
}

export function told({ value }: { readonly value: string }): Told {
  return JSON.parse(value) as Told;
}
