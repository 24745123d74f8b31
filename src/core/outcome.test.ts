/** Tests the three ways in which an attempt ends. */
import { describe, expect, it } from "vitest";
import { failure, ignored, success } from "./outcome.ts";

describe("outcomes", () => {
  it("are plain data with a reason and a detail", () => {
    expect(success).toEqual({ kind: "success", reason: "ok", detail: "" });
    expect(failure("status", "503")).toEqual({ kind: "failure", reason: "status", detail: "503" });
    expect(ignored("aborted", "x")).toEqual({ kind: "ignored", reason: "aborted", detail: "x" });
  });
});
