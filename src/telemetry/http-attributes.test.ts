/** The names that the HTTP conventions give, in the cases that they tell apart. */
import { describe, expect, it } from "vitest";
import { errorTypeOf, Memo, methodOf, originOf, schemeOf } from "./http-attributes.ts";

describe("methodOf", () => {
  it.each(["GET", "PATCH", "CONNECT"])("knows %s", (method) => expect(methodOf(method)).toBe(method));
  it.each(["get", "CALL", "PROPFIND", ""])("makes %j _OTHER", (method) =>
    expect(methodOf(method)).toBe("_OTHER"),
  );
});

describe("errorTypeOf", () => {
  it.each([
    ["success", "ok", 200, undefined],
    ["success", "ok", undefined, undefined],
    ["success", "ok", 404, "404"],
    ["failure", "status", 503, "503"],
    // An answer that `retry.statuses` names.
    ["failure", "status", 302, "302"],
    ["failure", "status", undefined, "status"],
    ["failure", "dependency", 503, "503"],
    ["ignored", "hedged", undefined, "hedged"],
    // The body broke off.
    ["failure", "reset", 200, "reset"],
    ["failure", "refused", undefined, "refused"],
    ["ignored", "aborted", undefined, "aborted"],
    ["failure", "any text of a program's own", undefined, "error"],
  ] as const)("of %s, %s, %s is %s", (outcome, reason, statusCode, expected) => {
    expect(errorTypeOf({ outcome, reason, statusCode })).toBe(expected);
  });
});

describe("originOf", () => {
  it.each([
    ["orders", "http", "orders", 80],
    ["orders", "https", "orders", 443],
    ["users:8443", "https", "users", 8_443],
    ["[::1]:99", "http", "[::1]", 99],
    ["not a host", "http", "not a host", 80],
  ] as const)("of %s over %s", (service, scheme, host, port) => {
    expect(originOf(service, scheme)).toEqual({ scheme, host, port, text: `${scheme}://${service}` });
  });
});

it("schemeOf takes a socket's scheme for http", () => {
  expect(["http://a", "https://a", "unix:/run/a"].map(schemeOf)).toEqual(["http", "https", "http"]);
});

it("Memo makes each value once, and forgets before it grows without end", () => {
  const made: string[] = [];
  const memo = new Memo((key) => {
    made.push(key);
    return key.length;
  });
  expect([memo.get("abc"), memo.get("abc")]).toEqual([3, 3]);
  expect(made).toEqual(["abc"]);
  for (let index = 0; index < 1_000; index++) memo.get(`key ${index}`);
  memo.get("abc");
  expect(made.filter((key) => key === "abc")).toHaveLength(2);
});
