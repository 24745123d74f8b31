/**
 * The one message of Nacos' gRPC protocol, written and read by hand: `Payload`, an envelope around JSON.
 *
 * Its definition has three messages and a map (nacos_grpc_service.proto): `Payload { Metadata metadata = 2;
 * google.protobuf.Any body = 3; }`, `Metadata { string type = 3; map<string, string> headers = 7; string clientIp = 8; }`.
 * A few lines for that spare a proto compiler.
 */
import { bytesField, bytesFieldsOf, textField, textOf } from "../../core/protobuf.ts";

export interface Payload {
  /** The simple name of the Java class that the body is: `SubscribeServiceRequest`. */
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
}

export function encodePayload({ type, headers, body }: Payload): Buffer {
  const entries = Object.entries(headers).map(([key, value]) =>
    bytesField(7, Buffer.concat([textField(1, key), textField(2, value)])),
  );
  const metadata = Buffer.concat([textField(3, type), ...entries]);
  return Buffer.concat([bytesField(2, metadata), bytesField(3, textField(2, body))]);
}

/** @throws RangeError for bytes that are no message. Unknown fields are skipped, as the format asks for. */
export function decodePayload(bytes: Uint8Array): Payload {
  let type = "";
  let body = "";
  const headers: Record<string, string> = Object.create(null);
  for (const { number, content } of bytesFieldsOf(bytes)) {
    if (number === 2) {
      for (const { number: inner, content: value } of bytesFieldsOf(content)) {
        if (inner === 3) type = textOf(value);
        else if (inner === 7) addEntry(headers, value);
      }
    } else if (number === 3) {
      for (const { number: inner, content: value } of bytesFieldsOf(content))
        if (inner === 2) body = textOf(value);
    }
  }
  return { type, headers, body };
}

function addEntry(headers: Record<string, string>, entry: Uint8Array): void {
  let key = "";
  let value = "";
  for (const { number, content } of bytesFieldsOf(entry)) {
    if (number === 1) key = textOf(content);
    else if (number === 2) value = textOf(content);
  }
  headers[key] = value;
}
