/** Tests of the envelope's bytes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodePayload, encodePayload } from "./payload.ts";

describe("Payload", () => {
  it("has the bytes that protoc's code writes", () => {
    const bytes = encodePayload({ type: "A", headers: { k: "v" }, body: "{}" });
    // metadata (2): type (3) "A", headers (7) {key (1) "k", value (2) "v"}; body (3): value (2) "{}".
    expect(bytes.toString("hex")).toBe("120b1a01413a060a016b120176" + "1a0412027b7d");
  });

  it("reads what it writes, whatever the text and its length", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 300 }),
        fc.dictionary(
          fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
          fc.string(),
        ),
        fc.string({ unit: "grapheme", maxLength: 2_000 }),
        (type, headers, body) => {
          const payload = { type, headers: { ...headers }, body };
          const { headers: decoded, ...rest } = decodePayload(encodePayload(payload));
          expect({ ...rest, headers: { ...decoded } }).toEqual(payload);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("skips what it does not know", () => {
    // Number fields first (a varint, 64 bits, 32 bits, and a varint with a two-byte key); then Metadata's clientIp (8)
    // and Any's type_url (1), which is empty.
    const numbers = "0896b5d4ff03" + "110102030405060708" + "2501020304" + "f007ff01";
    const bytes = Buffer.from(`${numbers}12081a014142033a3a311a060a0012027b7d`, "hex");
    expect(decodePayload(bytes)).toMatchObject({ type: "A", body: "{}" });
  });

  it("refuses bytes that are cut off, or none of protobuf's, and never anything else", () => {
    const whole = encodePayload({ type: "NotifySubscriberRequest", headers: { a: "b" }, body: '{"a":1}' });
    expect(() => decodePayload(whole.subarray(0, whole.length - 1))).toThrow(RangeError);
    expect(() => decodePayload(Buffer.from("12ff", "hex"))).toThrow(RangeError);
    expect(() => decodePayload(Buffer.alloc(20, 0xff))).toThrow(RangeError);
    expect(() => decodePayload(Buffer.from("0b", "hex"))).toThrow(RangeError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodePayload(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
