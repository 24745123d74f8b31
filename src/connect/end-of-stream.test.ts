/** Tests what is read of the end of a stream's body, however it is cut into pieces. */
import { brotliCompressSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { EndOfStreamReader } from "./end-of-stream.ts";

const message = 0;
const connectEnd = 0x02;
const webEnd = 0x80;
const compressed = 0x01;

function envelope(flags: number, body: string | Buffer): Buffer {
  const bytes = Buffer.from(body as string);
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function trailersOf(contentType: string, body: Buffer, headers = {}, pieceBytes = body.length) {
  const reader = EndOfStreamReader.of(contentType);
  for (let at = 0; at < body.length; at += pieceBytes) {
    const end = reader?.read(body.subarray(at, at + pieceBytes));
    if (end !== undefined) return { at: at + pieceBytes, trailers: end.trailers(headers) };
  }
  return undefined;
}

const failed = '{"error":{"code":"internal"},"metadata":{"Evenkeel-Retry":["no"],"x":["1","2"]}}';

describe("Connect's end of a stream", () => {
  it.each([1, 2, 3, 5, 7, 1_000])("is found behind messages, in pieces of %d bytes", (pieceBytes) => {
    const body = Buffer.concat([
      envelope(message, "m".repeat(300)),
      envelope(message, ""),
      envelope(message | compressed, "\x02\x02"),
      envelope(connectEnd, failed),
    ]);
    const found = trailersOf("application/connect+proto", body, {}, pieceBytes);
    expect(found?.at).toBeGreaterThanOrEqual(body.length);
    expect({ ...found?.trailers }).toEqual({ "evenkeel-retry": "no", x: "1, 2", "grpc-status": "13" });
  });

  it("is a status of 0 without an error, and of 2 with one whose code nobody knows", () => {
    const statusOf = (text: string) =>
      trailersOf("application/connect+json", envelope(connectEnd, text))?.trailers?.["grpc-status"];
    expect(statusOf("{}")).toBe("0");
    expect(statusOf('{"error":{"code":"unauthenticated"}}')).toBe("16");
    expect(statusOf('{"error":{}}')).toBe("2");
    expect(statusOf('{"error":{"code":"out_of_cheese"}}')).toBe("2");
  });

  it("is read where it is compressed, in a way that is known", () => {
    const read = (bytes: Buffer, encoding: string) =>
      trailersOf("application/connect+proto", envelope(connectEnd | compressed, bytes), {
        "connect-content-encoding": encoding,
      });
    expect(read(gzipSync(failed), "gzip")?.trailers?.["grpc-status"]).toBe("13");
    expect(read(brotliCompressSync(failed), "br")?.trailers?.["grpc-status"]).toBe("13");
    expect(read(gzipSync(failed), "snappy")).toEqual({ at: expect.any(Number), trailers: undefined });
    expect(read(Buffer.from("no gzip"), "gzip")?.trailers).toBeUndefined();
    // Four megabytes in four kilobytes.
    expect(read(gzipSync("x".repeat(4_000_000)), "gzip")?.trailers).toBeUndefined();
  });

  it("says nothing where it is no JSON, is too long, or is missing", () => {
    expect(trailersOf("application/connect+proto", envelope(connectEnd, "{"))?.trailers).toBeUndefined();
    expect(trailersOf("application/connect+proto", envelope(connectEnd, "null"))?.trailers).toBeUndefined();
    expect(trailersOf("application/connect+proto", envelope(connectEnd, "x".repeat(70_000)))).toBeUndefined();
    expect(trailersOf("application/connect+proto", envelope(message, "x"))).toBeUndefined();
    // An error page in place of envelopes.
    expect(trailersOf("application/connect+proto", Buffer.from("{}<html>"))).toBeUndefined();
  });

  it("changes no prototype", () => {
    const text = '{"metadata":{"__proto__":["x"]}}';
    const trailers = trailersOf("application/connect+proto", envelope(connectEnd, text))?.trailers;
    expect(Object.keys(trailers ?? {})).toEqual(["__proto__", "grpc-status"]);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });
});

describe("gRPC-Web's end of a stream", () => {
  it("is the trailers themselves", () => {
    const body = Buffer.concat([
      envelope(message, "hello"),
      envelope(webEnd, "Grpc-Status: 14\r\ngrpc-message: gone: away\r\n"),
    ]);
    expect({ ...trailersOf("application/grpc-web+proto", body)?.trailers }).toEqual({
      "grpc-status": "14",
      "grpc-message": "gone: away",
    });
    const zipped = envelope(webEnd | compressed, gzipSync("grpc-status:0\r\n"));
    const headers = { "grpc-encoding": "gzip" };
    expect(trailersOf("application/grpc-web", zipped, headers)?.trailers?.["grpc-status"]).toBe("0");
  });
});

it("is looked for in bodies of envelopes only", () => {
  for (const type of [undefined, "application/proto", "application/grpc", "application/grpc+proto"]) {
    expect(EndOfStreamReader.of(type)).toBeUndefined();
  }
  expect(EndOfStreamReader.of("application/grpc-web-text")).toBeUndefined();
});
