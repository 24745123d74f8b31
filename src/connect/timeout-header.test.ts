/** The time that a call has, in the headers of each protocol. */
import { describe, expect, test } from "vitest";
import { isUnary, timeoutHeader, timeoutOf } from "./timeout-header.ts";

const headers =
  (all: Readonly<Record<string, string>>) =>
  (name: string): string | undefined =>
    all[name];

const grpc = { "content-type": "application/grpc+proto" };
const connect = { "content-type": "application/proto" };

test.each([
  [{ ...grpc, "grpc-timeout": "250m" }, 250],
  [{ ...grpc, "grpc-timeout": "2S" }, 2_000],
  [{ ...grpc, "connect-timeout-ms": "250" }, undefined],
  [{ ...connect, "connect-timeout-ms": "250" }, 250],
  [{ "connect-timeout-ms": "250" }, 250],
  [{ ...connect, "connect-timeout-ms": "soon" }, undefined],
  [{ ...connect, "grpc-timeout": "250m" }, undefined],
])("%j gives the call %s ms", (all, ms) => {
  expect(timeoutOf(headers(all))).toBe(ms);
});

describe("an attempt's header", () => {
  test("tells what is left, a little less for the way back, in the protocol's own way", () => {
    expect(timeoutHeader(headers(grpc), undefined, 1_000)).toEqual(["grpc-timeout", "950m"]);
    expect(timeoutHeader(headers(connect), undefined, 1_000)).toEqual(["connect-timeout-ms", "950"]);
  });

  test("stays as the caller wrote it while all of that is left", () => {
    expect(timeoutHeader(headers(grpc), 500, 500)).toBeUndefined();
    expect(timeoutHeader(headers(grpc), 500, 300)).toEqual(["grpc-timeout", "285m"]);
  });

  test("is none where nobody gave the call a time", () => {
    expect(timeoutHeader(headers(grpc), undefined, Number.POSITIVE_INFINITY)).toBeUndefined();
  });
});

test.each([
  ["application/proto", true],
  ["application/json", true],
  ["application/connect+proto", false],
  ["application/grpc+proto", false],
  ["application/grpc-web+json", false],
])("%s is a unary call: %s", (type, unary) => {
  expect(isUnary(headers({ "content-type": type }))).toBe(unary);
});

test("a GET of Connect's has no content type, and is a unary call", () => {
  expect(isUnary(headers({}))).toBe(true);
});
