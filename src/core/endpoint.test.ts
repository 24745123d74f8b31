/** Tests of the check that every endpoint passes. */
import { describe, expect, it } from "vitest";
import { checkEndpoint, type Endpoint } from "./endpoint.ts";

const check = (endpoint: unknown) => () => checkEndpoint(endpoint as Endpoint);

describe("checkEndpoint", () => {
  it("fills in the defaults", () => {
    const expected = {
      address: expect.objectContaining({ text: "http://a" }),
      weight: 1,
      zone: undefined,
      priority: 0,
      metadata: {},
    };
    expect(checkEndpoint("a")).toEqual(expected);
    expect(checkEndpoint({ address: "http://a", weight: undefined, metadata: undefined })).toEqual(expected);
  });

  it("keeps what it is given", () => {
    const metadata = { version: "1", constructor: "x", nested: { a: 1 } };
    expect(checkEndpoint({ address: "a", weight: 0, zone: "b", priority: 127, metadata })).toMatchObject({
      weight: 0,
      zone: "b",
      priority: 127,
      metadata,
    });
    expect(checkEndpoint({ address: "a", weight: 4_294_967_295 }).weight).toBe(4_294_967_295);
    expect(checkEndpoint({ address: "a", weight: 0.25 }).weight).toBe(0.25);
  });

  it("takes the cluster's scheme for an address without one", () => {
    expect(checkEndpoint("a", "https").address.text).toBe("https://a");
    expect(checkEndpoint("http://a", "https").address.text).toBe("http://a");
  });

  it.each([
    [{ weight: -1 }, /weight of http:\/\/a must be from 0 to 4294967295, got -1/],
    [{ weight: Number.NaN }, /got NaN/],
    [{ weight: 1e308 }, /got 1e\+308/],
    [{ weight: Number.POSITIVE_INFINITY }, /got Infinity/],
    [{ weight: "2" }, /got "2"/],
    [{ weight: null }, /got null/],
    [{ weight: Object.create(null) }, /got an object/],
    [{ weight: Symbol("x") }, /got Symbol\(x\)/],
    [{ weight: "\n".repeat(200) }, /got [^\n]{1,60}$/],
    [{ zone: 7 }, /zone of http:\/\/a must be a string/],
    [{ zone: "x".repeat(254) }, /at most 253 characters/],
    [{ priority: 128 }, /priority of http:\/\/a must be an integer from 0 to 127, got 128/],
    [{ priority: -1 }, /got -1/],
    [{ priority: 0.5 }, /got 0\.5/],
    [{ priority: "1" }, /got "1"/],
    [{ metadata: "x" }, /metadata of http:\/\/a must be an object, got "x"/],
    [{ metadata: ["x"] }, /got an array/],
    [{ metadata: JSON.parse('{"__proto__": {}}') }, /has the key "__proto__"/],
    [
      { metadata: Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`key${index}`, 1])) },
      /257 keys/,
    ],
  ])("refuses %j and names the endpoint", (fields, message) => {
    expect(check({ address: "http://a", ...fields })).toThrow(RangeError);
    expect(check({ address: "http://a", ...fields })).toThrow(message);
  });

  it.each([null, undefined, 7, true, {}, [], { address: 7 }, { address: null }, { host: "a" }])(
    "refuses %j, which has no address",
    (endpoint) => {
      expect(check(endpoint)).toThrow(RangeError);
    },
  );

  it("copies metadata into an object of its own, without a prototype", () => {
    const metadata = { version: "1" };
    const checked = checkEndpoint({ address: "a", metadata });
    metadata.version = "2";
    expect(checked.metadata).toEqual({ version: "1" });
    expect(Object.getPrototypeOf(checked.metadata)).toBe(null);
    expect(Object.isFrozen(checked.metadata)).toBe(true);
    expect(checkEndpoint("a").metadata.toString).toBeUndefined();
  });
});
