/** Tests what codes, errors and statuses mean for a node. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { outcomeOfCode, outcomeOfError, outcomeOfStatus } from "./classify.ts";
import { failure, ignored, success } from "./outcome.ts";

const withCode = (code: string, message = code) => Object.assign(new Error(message), { code });
const aggregate = (...codes: string[]) =>
  Object.assign(new AggregateError(codes.map((code) => withCode(code))), { code: codes[0] });

describe("outcomeOfCode", () => {
  it.each([
    ["ECONNREFUSED", "failure", "refused"],
    ["ENOENT", "failure", "refused"],
    ["EHOSTUNREACH", "failure", "unreachable"],
    ["ENETUNREACH", "failure", "unreachable"],
    ["EHOSTDOWN", "failure", "unreachable"],
    ["ECONNRESET", "failure", "reset"],
    ["EPIPE", "failure", "reset"],
    ["ETIMEDOUT", "failure", "timeout"],
    ["EMFILE", "ignored", "shortage"],
    ["ENFILE", "ignored", "shortage"],
    ["ENOBUFS", "ignored", "shortage"],
    ["ENOMEM", "ignored", "shortage"],
    ["EADDRNOTAVAIL", "ignored", "shortage"],
    ["ENETDOWN", "ignored", "shortage"],
    ["ENOTFOUND", "ignored", "shortage"],
    ["EAI_AGAIN", "ignored", "shortage"],
    ["EAI_FAIL", "ignored", "shortage"],
    ["ABORT_ERR", "ignored", "aborted"],
  ])("%s: %s, %s", (code, kind, reason) => {
    expect(outcomeOfCode(code)).toEqual({ kind, reason, detail: code });
    expect(outcomeOfError(withCode(code, "x"))).toEqual({ kind, reason, detail: code });
  });

  it.each(["", "ERR_X", "constructor", "__proto__", "toString"])("knows nothing of %j", (code) => {
    expect(outcomeOfCode(code)).toBeUndefined();
  });
});

describe("outcomeOfError", () => {
  it("holds whatever is unknown against the node", () => {
    expect(outcomeOfError(withCode("ERR_X"))).toEqual(failure("error", "ERR_X"));
    expect(outcomeOfError(new Error("no luck"))).toEqual(failure("error", "no luck"));
    expect(outcomeOfError("plain")).toEqual(failure("error", "plain"));
    expect(outcomeOfError(undefined)).toEqual(failure("error", "undefined"));
    expect(outcomeOfError(withCode("constructor"))).toEqual(failure("error", "constructor"));
  });

  it("takes an abort for the caller's, by name too", () => {
    expect(outcomeOfError(new DOMException("x", "AbortError"))).toEqual(ignored("aborted", "AbortError"));
    expect(outcomeOfError(new DOMException("too late", "TimeoutError"))).toEqual(
      failure("error", "too late"),
    );
  });

  it("takes an aggregate for its first failure: a shortage at one address does not hide a refusal at another", () => {
    expect(outcomeOfError(aggregate("ECONNREFUSED", "ECONNREFUSED"))).toEqual(
      failure("refused", "ECONNREFUSED"),
    );
    expect(outcomeOfError(aggregate("EADDRNOTAVAIL", "ECONNREFUSED"))).toEqual(
      failure("refused", "ECONNREFUSED"),
    );
    expect(outcomeOfError(aggregate("ENETUNREACH", "ETIMEDOUT"))).toEqual(
      failure("unreachable", "ENETUNREACH"),
    );
    expect(outcomeOfError(aggregate("EMFILE", "EMFILE"))).toEqual(ignored("shortage", "EMFILE"));
    expect(outcomeOfError(new AggregateError([], "none of them"))).toEqual(failure("error", "none of them"));
    expect(outcomeOfError(new AggregateError([new AggregateError([withCode("EPIPE")])]))).toEqual(
      failure("reset", "EPIPE"),
    );
  });
});

describe("outcomeOfStatus", () => {
  it("is a failure for 5xx and 429, but for 501 and 505", () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 599 }), (status) => {
        const isFailure = status === 429 || (status >= 500 && status !== 501 && status !== 505);
        expect(outcomeOfStatus(status)).toEqual(isFailure ? failure("status", String(status)) : success);
      }),
    );
  });

  it("makes the usual failures once", () => {
    for (const status of [429, 500, 502, 503, 504])
      expect(outcomeOfStatus(status)).toBe(outcomeOfStatus(status));
    expect(outcomeOfStatus(200)).toBe(success);
  });
});
