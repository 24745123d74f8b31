/**
 * The one message of Nacos' gRPC protocol, written and read by hand: `Payload`, an envelope around JSON.
 *
 * Its definition has three messages and a map (nacos_grpc_service.proto): `Payload { Metadata metadata = 2;
 * google.protobuf.Any body = 3; }`, `Metadata { string type = 3; map<string, string> headers = 7; string clientIp = 8; }`.
 * A hundred lines for that spare a proto compiler. The format is that of
 * https://protobuf.dev/programming-guides/encoding/.
 */

export interface Payload {
  /** The simple name of the Java class that the body is: `SubscribeServiceRequest`. */
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
}

/** Protobuf's wire types, as far as they may occur. */
const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

export function encodePayload({ type, headers, body }: Payload): Buffer {
  const entries = Object.entries(headers).map(([key, value]) =>
    field(7, Buffer.concat([field(1, Buffer.from(key)), field(2, Buffer.from(value))])),
  );
  const metadata = Buffer.concat([field(3, Buffer.from(type)), ...entries]);
  return Buffer.concat([field(2, metadata), field(3, field(2, Buffer.from(body)))]);
}

/** @throws RangeError for bytes that are no message. Unknown fields are skipped, as the format asks for. */
export function decodePayload(bytes: Uint8Array): Payload {
  let type = "";
  let body = "";
  const headers: Record<string, string> = Object.create(null);
  for (const [number, content] of fieldsOf(bytes)) {
    if (number === 2) {
      for (const [inner, value] of fieldsOf(content)) {
        if (inner === 3) type = textOf(value);
        else if (inner === 7) addEntry(headers, value);
      }
    } else if (number === 3) {
      for (const [inner, value] of fieldsOf(content)) if (inner === 2) body = textOf(value);
    }
  }
  return { type, headers, body };
}

function addEntry(headers: Record<string, string>, entry: Uint8Array): void {
  let key = "";
  let value = "";
  for (const [number, content] of fieldsOf(entry)) {
    if (number === 1) key = textOf(content);
    else if (number === 2) value = textOf(content);
  }
  headers[key] = value;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

/** One length-delimited field. */
function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([encodeVarint(number * 8 + lengthDelimited), encodeVarint(content.length), content]);
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}

/** The length-delimited fields of a message; numbers of other kinds are skipped, as none is of use here. */
function* fieldsOf(
  bytes: Uint8Array,
): Generator<readonly [number: number, content: Uint8Array], void, undefined> {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let factor = 1; at < bytes.length; factor *= 0x80) {
      const byte = bytes[at++] as number;
      value += (byte % 0x80) * factor;
      if (byte < 0x80) return value;
      // Ten bytes hold 64 bits.
      if (factor >= 2 ** 63) break;
    }
    throw new RangeError("the message is cut off, or not protobuf");
  };
  while (at < bytes.length) {
    const key = readVarint();
    const wireType = key % 8;
    if (wireType === varint) {
      readVarint();
      continue;
    }
    const length =
      wireType === fixed64
        ? 8
        : wireType === fixed32
          ? 4
          : wireType === lengthDelimited
            ? readVarint()
            : Number.NaN;
    if (!(at + length <= bytes.length)) throw new RangeError("the message is cut off, or not protobuf");
    if (wireType === lengthDelimited) yield [Math.floor(key / 8), bytes.subarray(at, at + length)];
    at += length;
  }
}
