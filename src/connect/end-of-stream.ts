/**
 * What a node says at the end of a stream's body: Connect's own protocol and gRPC-Web have no trailers for it.
 *
 * Their bodies are envelopes: a byte of flags, four of length, then that many bytes. Those of messages are skipped
 * unread; the last one is told as the trailers that gRPC would have sent, so that nothing else has to know of it.
 */
import type { IncomingHttpHeaders } from "node:http";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

const headBytes = 5;
const compressedFlag = 0x01;
/** More than any status and its metadata takes. What is longer is not looked at, and the end counts as an answer. */
const longestEnd = 64 * 1_024;

/** Connect's names of the codes, from 1 on: gRPC's numbers. */
const codes: readonly string[] = [
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];
const unknown = 2;

type Fields = Record<string, string>;

interface Format {
  /** Marks the last envelope. */
  readonly endFlag: number;
  /** The response header that names its compression. */
  readonly encodingHeader: string;
  /** @throws SyntaxError for what is none of the format's. */
  parse(text: string): Fields;
}

const connect: Format = { endFlag: 0x02, encodingHeader: "connect-content-encoding", parse: parseConnectEnd };
const grpcWeb: Format = { endFlag: 0x80, encodingHeader: "grpc-encoding", parse: parseGrpcWebEnd };

/** The last envelope of a body, as it came. */
export class EndOfStream {
  readonly #format: Format;
  readonly #isCompressed: boolean;
  readonly #bytes: Buffer;

  constructor(format: Format, isCompressed: boolean, bytes: Buffer) {
    this.#format = format;
    this.#isCompressed = isCompressed;
    this.#bytes = bytes;
  }

  /** As gRPC's trailers, `grpc-status` among them; undefined for what cannot be read, as the transport will find too. */
  trailers(headers: IncomingHttpHeaders): IncomingHttpHeaders | undefined {
    try {
      const text = this.#isCompressed
        ? inflate(this.#bytes, headers[this.#format.encodingHeader])
        : this.#bytes;
      return text && this.#format.parse(text.toString());
    } catch {
      return undefined;
    }
  }
}

export class EndOfStreamReader {
  readonly #format: Format;
  /** Bytes of the present envelope's head that are here. */
  #headed = 0;
  #flags = 0;
  /** Bytes of the present envelope that are missing. */
  #left = 0;
  /** Of the last envelope. */
  readonly #pieces: Uint8Array[] = [];

  private constructor(format: Format) {
    this.#format = format;
  }

  /** @param contentType of the request; undefined where the end is not in the body. */
  static of(contentType: string | undefined): EndOfStreamReader | undefined {
    if (contentType?.startsWith("application/connect+") === true) return new EndOfStreamReader(connect);
    // Not its text form, which is base64.
    if (/^application\/grpc-web(?![\w-])/.test(contentType ?? "")) return new EndOfStreamReader(grpcWeb);
    return undefined;
  }

  /** Follows the body; returns its end once all of that is here. */
  read(chunk: Uint8Array): EndOfStream | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headed < headBytes) {
        this.#readHead(chunk[at++] as number);
        if (this.#headed < headBytes || this.#left > 0) continue;
      }
      const isEnd = (this.#flags & this.#format.endFlag) !== 0 && this.#left <= longestEnd;
      const until = Math.min(chunk.length, at + this.#left);
      if (isEnd) this.#pieces.push(chunk.subarray(at, until));
      this.#left -= until - at;
      at = until;
      if (this.#left > 0) return undefined;
      this.#headed = 0;
      if (isEnd) {
        const isCompressed = (this.#flags & compressedFlag) !== 0;
        return new EndOfStream(this.#format, isCompressed, Buffer.concat(this.#pieces));
      }
    }
    return undefined;
  }

  #readHead(byte: number): void {
    if (this.#headed === 0) {
      this.#flags = byte;
      this.#left = 0;
    } else {
      this.#left = this.#left * 256 + byte;
    }
    this.#headed++;
  }
}

function inflate(bytes: Buffer, encoding: string | string[] | undefined): Buffer | undefined {
  if (encoding === "gzip") return gunzipSync(bytes, { maxOutputLength: longestEnd });
  if (encoding === "br") return brotliDecompressSync(bytes, { maxOutputLength: longestEnd });
  return undefined;
}

/** `{"error":{"code":"internal"},"metadata":{"name":["value"]}}`, both of which may be missing. */
function parseConnectEnd(text: string): Fields {
  const fields: Fields = Object.create(null);
  const { error, metadata } = JSON.parse(text) as {
    readonly error?: { readonly code?: unknown } | null;
    readonly metadata?: Readonly<Record<string, unknown>>;
  };
  for (const [name, values] of Object.entries(metadata ?? {})) {
    if (Array.isArray(values)) fields[name.toLowerCase()] = values.join(", ");
  }
  const code = error ? codes.indexOf(String(error.code)) + 1 || unknown : 0;
  fields["grpc-status"] = String(code);
  return fields;
}

/** Header lines as HTTP/1.1 writes them. */
function parseGrpcWebEnd(text: string): Fields {
  const fields: Fields = Object.create(null);
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return fields;
}
