/** Headers are found, and can be read again, in every form that undici takes. */
import type { Dispatcher } from "undici";
import { describe, expect, it } from "vitest";
import { findHeader, withAddedHeaders, withLastingHeaders } from "./headers.ts";

type Headers = Dispatcher.DispatchOptions["headers"];

describe("findHeader", () => {
  it.each<[string, unknown]>([
    ["an object", { "X-A": "1", other: "2" }],
    ["an object with several values", { "x-a": ["1", "2"] }],
    ["a flat list", ["other", "x-a", "X-a", "1"]],
    ["a Map", new Map([["X-A", "1"]])],
    ["pairs in a Set", new Set([["other", "2"], ["x-a", "1"]])], // biome-ignore format: short
    ["Headers", new globalThis.Headers({ "x-a": "1" })],
    ["a number as value", { "x-a": 1 }],
  ])("finds one in %s", (_, headers) => {
    expect(findHeader(headers as Headers, "x-a")).toBe("1");
    expect(findHeader(headers as Headers, "x-b")).toBeUndefined();
  });

  it.each([null, undefined, {}, [], ["x-a"], { "x-a": undefined }, 5, "x-a: 1", new Set([5, null])])(
    "finds none in %j",
    (headers) => {
      expect(findHeader(headers as Headers, "x-a")).toBeUndefined();
    },
  );
});

describe("withLastingHeaders", () => {
  const options = (headers: unknown): Dispatcher.DispatchOptions => ({
    path: "/",
    method: "GET",
    headers: headers as Headers,
  });

  it("leaves headers that can be read again as they are", () => {
    for (const headers of [null, undefined, {}, [], new Map(), new globalThis.Headers(), 5]) {
      const given = options(headers);
      expect(withLastingHeaders(given)).toBe(given);
    }
  });

  it("makes a generator readable more than once, repeated names included", () => {
    function* pairs(): Generator<[string, string]> {
      yield ["x-a", "1"];
      yield ["x-a", "2"];
    }
    const { headers } = withLastingHeaders(options(pairs()));
    const expected = [
      ["x-a", "1"],
      ["x-a", "2"],
    ];
    for (let round = 0; round < 2; round++) expect([...(headers as Iterable<unknown>)]).toEqual(expected);
  });
});

describe("withAddedHeaders", () => {
  const merged = (headers: unknown): unknown =>
    withAddedHeaders({ path: "/", method: "GET", headers: headers as Headers }, ["traceparent", "new"])
      .headers;

  it.each<[string, unknown]>([
    ["an object", { "X-A": "1", TraceParent: "old", other: ["2", "3"] }],
    ["a flat list", ["X-A", "1", "TraceParent", "old", "other", ["2", "3"], "traceparent", "older"]],
    ["a Map", new Map<string, unknown>([["X-A", "1"], ["TraceParent", "old"], ["other", ["2", "3"]]])], // biome-ignore format: short
  ])("puts them in place of those of the same name in %s, and keeps the rest", (_, headers) => {
    expect(merged(headers)).toEqual(["X-A", "1", "other", ["2", "3"], "traceparent", "new"]);
  });

  it("takes Headers, and no headers at all", () => {
    expect(merged(new globalThis.Headers({ a: "1" }))).toEqual(["a", "1", "traceparent", "new"]);
    for (const headers of [undefined, null, {}, []]) {
      expect(merged(headers)).toEqual(["traceparent", "new"]);
    }
  });

  it.each([5, "a: 1", ["a"], new Set([["a"]]), new Set([5])])("leaves %j for undici to refuse", (headers) => {
    expect(merged(headers)).toBe(headers);
  });
});
