/** One text as every kind of request body that undici takes, in small pieces where it comes in pieces. */
import { Readable } from "node:stream";
import { FormData } from "undici";

export interface BodyKind {
  readonly kind: string;
  /** A new body, unread. */
  make(text: string): unknown;
}

/** Bodies that arrive byte for byte as the text. */
export const plainBodies: readonly BodyKind[] = [
  { kind: "string", make: (text) => text },
  { kind: "Buffer", make: (text) => Buffer.from(text) },
  { kind: "Uint8Array", make: (text) => new TextEncoder().encode(text) },
  // A view on a part of its buffer: the rest of it must not be sent.
  {
    kind: "DataView",
    make: (text) => new DataView(new TextEncoder().encode(`..${text}..`).buffer, 2, byteLength(text)),
  },
  { kind: "ArrayBuffer", make: (text) => new TextEncoder().encode(text).buffer },
  { kind: "Blob", make: (text) => new Blob([text]) },
  { kind: "array of chunks", make: (text) => [...pieces(text)] },
  { kind: "sync generator", make: (text) => pieces(text) },
  { kind: "async generator", make: (text) => slowPieces(text) },
  { kind: "Readable", make: (text) => Readable.from(slowPieces(text)) },
  { kind: "Readable of bytes", make: (text) => bytesReadable(text) },
  { kind: "web ReadableStream", make: (text) => ReadableStream.from(slowPieces(text)) },
];

/** FormData of undici; arrives in parts. */
export const formBody: BodyKind = {
  kind: "FormData",
  make: (text) => {
    const form = new FormData();
    form.append("field", text);
    form.append("file", new Blob([text]), "file.txt");
    return form;
  },
};

export function* pieces(text: string): Generator<Buffer, void, undefined> {
  const bytes = Buffer.from(text);
  const size = Math.max(1, Math.ceil(bytes.length / 5));
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function* slowPieces(text: string): AsyncGenerator<Buffer, void, undefined> {
  for (const piece of pieces(text)) {
    await new Promise((resolve) => setImmediate(resolve));
    yield piece;
  }
}

function bytesReadable(text: string): Readable {
  const source = pieces(text);
  return new Readable({
    read() {
      const { done, value } = source.next();
      this.push(done === true ? null : value);
    },
  });
}

function byteLength(text: string): number {
  return Buffer.byteLength(text);
}
