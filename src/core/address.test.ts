/** Tests of the canonical form of addresses: what is one instance, and what is refused. */
import { isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress } from "./address.ts";

describe("parseAddress", () => {
  it.each([
    ["http://10.0.0.1:8080", "http://10.0.0.1:8080"],
    ["10.0.0.1:8080", "http://10.0.0.1:8080"],
    ["HTTP://Orders.Example:80/", "http://orders.example"],
    ["orders:443", "http://orders:443"],
    ["https://orders:443", "https://orders"],
    ["https://orders:80", "https://orders:80"],
    ["my_service:8080", "http://my_service:8080"],
    ["http://0x7f.1", "http://127.0.0.1"],
    ["http://bücher.example", "http://xn--bcher-kva.example"],
    ["[::1]:8080", "http://[::1]:8080"],
    ["http://[0:0::0001]:080", "http://[::1]"],
    ["http://[::ffff:10.0.0.1]:81", "http://10.0.0.1:81"],
    ["http://[::FFFF:0a00:0001]", "http://10.0.0.1"],
    ["unix:/run/x.sock", "unix:/run/x.sock"],
    ["UNIX:///run//./x.sock", "unix:/run/x.sock"],
    ["unix:/run/My Orders@1.sock", "unix:/run/My Orders@1.sock"],
  ])("makes %s %s, and leaves that as it is", (input, text) => {
    expect(parseAddress(input).text).toBe(text);
    expect(parseAddress(text)).toEqual(parseAddress(input));
    expect(parseAddress(text, "https").text).toBe(text);
  });

  it("says host, port and path apart", () => {
    expect(parseAddress("[::1]", "https")).toEqual({
      text: "https://[::1]",
      scheme: "https",
      hostname: "::1",
      port: 443,
      socketPath: "",
    });
    expect(parseAddress("a:8080")).toMatchObject({ scheme: "http", hostname: "a", port: 8080 });
    expect(parseAddress("unix:///run/x.sock")).toMatchObject({
      scheme: "unix",
      hostname: "",
      port: 0,
      socketPath: "/run/x.sock",
    });
  });

  it.each([
    ["", /""/],
    ["http://", /is not scheme:\/\/host:port/],
    ["http://:80", /is not scheme/],
    ["::1", /is not scheme/],
    ["10.0.0.256:80", /is not scheme/],
    ["a:65536", /is not scheme/],
    ["a:-1", /is not scheme/],
    ["a:port", /is not scheme/],
    ["a:0", /has port 0/],
    // The URL parser would take the path for a host.
    ["/run", /is not scheme/],
    ["//orders:80", /is not scheme/],
    ["http:///orders", /is not scheme/],
    ["ftp://a", /scheme "ftp", expected http, https or unix/],
    ["file:///etc/passwd", /file:\/\/\/etc\/passwd/],
    ["http://a/b", /path or query/],
    ["http://a?b", /path or query/],
    ["http://a#b", /path or query/],
    ["http://a b", /white space/],
    ["http://a\t", /white space/],
    ["http://a\\b", /backslash/],
    ["unix:run/x.sock", /absolute path/],
    ["unix:", /absolute path/],
    ["unix:/", /must name a socket/],
    ["unix:/run/", /must name a socket/],
    ["unix:/run/.", /must name a socket/],
    ["unix:/run/../x.sock", /must name a socket, without "\.\."/],
    ["unix:/run/x\0.sock", /absolute path/],
    [`unix:/${"x".repeat(107)}`, /more than 107 bytes/],
    [`http://${"a".repeat(600)}`, /has 607 characters, at most 512/],
    [undefined, /must be a string, got undefined/],
    [["http://a"], /must be a string, got object/],
  ])("refuses %j", (input, message) => {
    expect(() => parseAddress(input as string)).toThrow(RangeError);
    expect(() => parseAddress(input as string)).toThrow(message);
  });

  it.each([
    "http://user:secret@host:80",
    "user:secret@host",
    "ftp://user:secret@host",
    "http://user:secret@host:port",
    "http://secret@other@host",
  ])("shows no credentials when it refuses %s", (input) => {
    expect(() => parseAddress(input)).toThrow(/^the address of "host.*" carries credentials/);
    expect(() => parseAddress(input)).not.toThrow(/secret/);
  });

  it("lets no address break a line of the log", () => {
    for (const input of ["http://a\nb", "unix:/a\nb", "ftp://a\nb"]) {
      expect(() => parseAddress(input)).toThrow(/^[^\n]*$/);
    }
  });

  it("maps every spelling of an instance to one text", () => {
    const byte = fc.nat(255);
    fc.assert(
      fc.property(byte, byte, byte, byte, fc.integer({ min: 1, max: 65_535 }), (a, b, c, d, port) => {
        const dotted = `${a}.${b}.${c}.${d}`;
        const hex = (high: number, low: number): string => ((high << 8) | low).toString(16);
        const number = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
        const texts = [
          `${dotted}:${port}`,
          `http://${dotted}:${port}/`,
          `HTTP://${dotted}:${String(port).padStart(5, "0")}`,
          `[::ffff:${dotted}]:${port}`,
          `[0:0:0:0:0:FFFF:${hex(a, b)}:${hex(c, d)}]:${port}`,
          `http://${number}:${port}`,
        ].map((input) => parseAddress(input).text);
        expect(new Set(texts).size).toBe(1);
        expect(texts[0]).toBe(`http://${dotted}${port === 80 ? "" : `:${port}`}`);
      }),
    );
  });

  it("keeps IPv6 addresses apart, and takes them with or without the short form", () => {
    const groups = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, groups, (one, other) => {
        const long = (values: readonly number[]): string =>
          values.map((value) => value.toString(16).padStart(4, "0")).join(":");
        const parsed = parseAddress(`[${long(one)}]:1`);
        expect(isIPv6(parsed.hostname)).toBe(true);
        expect(parseAddress(`http://[${long(one).toUpperCase()}]:1`).text).toBe(parsed.text);
        expect(parseAddress(`[${long(other)}]:1`).text === parsed.text).toBe(long(one) === long(other));
      }),
    );
  });

  it("either refuses a text or makes one that it accepts as it is", () => {
    const piece = fc.constantFrom(
      ..."http://",
      "https://",
      "unix:",
      "a",
      "[::1]",
      ":80",
      "/",
      "@",
      "?",
      "%41",
      "é",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join("")),
        ),
        (input) => {
          let text: string;
          try {
            ({ text } = parseAddress(input));
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
            return;
          }
          expect(parseAddress(text).text).toBe(text);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
