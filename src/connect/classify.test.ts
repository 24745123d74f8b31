/** What the codes of gRPC and Connect mean for the node. */
import { expect, test } from "vitest";
import { grpcCodeOf, outcomeOfAnswer, outcomeOfCode } from "./classify.ts";

test.each([
  [0, "success", "ok"],
  [1, "ignored", "aborted"],
  [2, "failure", "status"],
  [3, "success", "ok"],
  [5, "success", "ok"],
  [8, "failure", "status"],
  [9, "success", "ok"],
  [12, "success", "ok"],
  [13, "failure", "status"],
  [14, "failure", "status"],
  [15, "failure", "status"],
  [16, "success", "ok"],
])("code %d is a %s: %s", (code, kind, reason) => {
  expect(outcomeOfCode(code, true)).toMatchObject({ kind, reason });
});

test("DeadlineExceeded is held against a node that had its chance", () => {
  expect(outcomeOfCode(4, true)).toMatchObject({ kind: "failure", reason: "timeout" });
  expect(outcomeOfCode(4, false)).toMatchObject({ kind: "ignored", reason: "deadline" });
});

test("trailers have the last word, then headers, then the HTTP status", () => {
  const unavailable = { "grpc-status": "14" };
  expect(outcomeOfAnswer(200, { "grpc-status": "0" }, unavailable, true).kind).toBe("failure");
  expect(outcomeOfAnswer(200, unavailable, undefined, true).detail).toBe("Unavailable");
  expect(outcomeOfAnswer(503, {}, undefined, true)).toMatchObject({ kind: "failure", detail: "503" });
  expect(outcomeOfAnswer(404, {}, undefined, true).kind).toBe("success");
});

test("a failure that a lower layer has tried to make good is its dependency's", () => {
  const trailers = { "grpc-status": "14", "evenkeel-retry": "no" };
  expect(outcomeOfAnswer(200, {}, trailers, true)).toMatchObject({ kind: "failure", reason: "dependency" });
});

test.each(["", "abc", "-1", "1e3", "99999"])("%j is no status", (written) => {
  expect(grpcCodeOf(undefined, { "grpc-status": written })).toBeUndefined();
});
