/** Tests the one error class, and how foreign errors are named. */
import { describe, expect, it } from "vitest";
import { BalancerError, describeError, errorCode } from "./errors.ts";

describe("BalancerError", () => {
  it("has a code, the service, a message that names it, and the cause", () => {
    const cause = new Error("socket hang up");
    const error = new BalancerError("ERR_NO_NODE", "orders", "no node gave an answer", cause);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "BalancerError",
      code: "ERR_NO_NODE",
      service: "orders",
      message: "orders: no node gave an answer",
    });
    expect(error.cause).toBe(cause);
    expect(String(error)).toBe("BalancerError: orders: no node gave an answer");
    expect(error.stack).toContain("BalancerError: orders");
  });

  it("has no cause at all where there is none", () => {
    expect("cause" in new BalancerError("ERR_CLOSED", "orders", "closed")).toBe(false);
    expect(new BalancerError("ERR_CLOSED", "orders", "closed", null).cause).toBeNull();
  });
});

describe("errorCode", () => {
  it.each([
    [Object.assign(new Error("x"), { code: "ECONNRESET" }), "ECONNRESET"],
    [{ code: "E" }, "E"],
    [new DOMException("x", "AbortError"), undefined],
    [new Error("x"), undefined],
    ["ECONNRESET", undefined],
    [null, undefined],
    [undefined, undefined],
  ])("of %o is %s", (error, code) => {
    expect(errorCode(error)).toBe(code);
  });
});

describe("describeError", () => {
  it("is the code, else the message, else the text", () => {
    expect(describeError(Object.assign(new Error("x"), { code: "EPIPE" }))).toBe("EPIPE");
    expect(describeError(new Error("no luck"))).toBe("no luck");
    expect(describeError("plain")).toBe("plain");
    expect(describeError(undefined)).toBe("undefined");
  });
});
