/**
 * The wire format of protobuf, as far as a few small messages need it: no compiler, no schema, no dependency.
 *
 * The format is that of https://protobuf.dev/programming-guides/encoding/.
 */

/** Wire types. The two that begin and end a group are of proto2 and taken for damage. */
const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

/** One field of a message. A varint's content is its bytes. */
export interface Field {
  readonly number: number;
  readonly kind: "varint" | "fixed64" | "bytes" | "fixed32";
  readonly content: Uint8Array;
}

/** A field that holds a text, bytes or a message. */
export function bytesField(number: number, content: Uint8Array): Buffer {
  return Buffer.concat([encodeVarint(number * 8 + lengthDelimited), encodeVarint(content.length), content]);
}

export function textField(number: number, text: string): Buffer {
  return bytesField(number, Buffer.from(text));
}

export function doubleField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([encodeVarint(number * 8 + fixed64), bytes]);
}

/** @throws RangeError when it comes to bytes that are no message. Whoever does not know a field skips it. */
export function* fieldsOf(message: Uint8Array): Generator<Field, void, undefined> {
  for (let at = 0; at < message.length; ) {
    const key = varintEnd(message, at);
    const tag = decodeVarint(message.subarray(at, key));
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    let from = key;
    let to = Number.NaN;
    if (wireType === varint) to = varintEnd(message, from);
    else if (wireType === fixed64) to = from + 8;
    else if (wireType === fixed32) to = from + 4;
    else if (wireType === lengthDelimited) {
      from = varintEnd(message, key);
      to = from + decodeVarint(message.subarray(key, from));
    }
    // Also for a number that is none.
    if (!(to <= message.length)) throw damaged();
    yield { number, kind: kinds[wireType] as Field["kind"], content: message.subarray(from, to) };
    at = to;
  }
}

/** Those that hold a text, bytes or a message. Fields of other kinds are skipped. @throws RangeError as `fieldsOf`. */
export function* bytesFieldsOf(message: Uint8Array): Generator<Field, void, undefined> {
  for (const field of fieldsOf(message)) if (field.kind === "bytes") yield field;
}

const kinds: readonly (Field["kind"] | undefined)[] = [
  "varint",
  "fixed64",
  "bytes",
  undefined,
  undefined,
  "fixed32",
];

export function textOf(content: Uint8Array): string {
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("utf8");
}

/** @param content of a "fixed64" field. */
export function doubleOf(content: Uint8Array): number {
  return new DataView(content.buffer, content.byteOffset, 8).getFloat64(0, true);
}

/** @param content of a "varint" field. Above 2^53 it is as near as a number comes. */
export function decodeVarint(content: Uint8Array): number {
  let value = 0;
  let factor = 1;
  for (const byte of content) {
    value += (byte % 0x80) * factor;
    factor *= 0x80;
  }
  return value;
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}

/** Where the varint ends that begins at `from`. */
function varintEnd(message: Uint8Array, from: number): number {
  // Ten bytes hold 64 bits.
  const last = Math.min(message.length, from + 10);
  for (let at = from; at < last; at++) if ((message[at] as number) < 0x80) return at + 1;
  throw damaged();
}

function damaged(): RangeError {
  return new RangeError("the message is cut off, or not protobuf");
}
