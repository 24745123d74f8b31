/** What errors of undici and of Node mean for a node, and what Retry-After asks for. */
import { errors } from "undici";
import { describe, expect, it } from "vitest";
import { BalancerError } from "../core/errors.ts";
import {
  type AttemptFault,
  isUnprocessed,
  outcomeOfFault,
  outcomeOfTransportError,
  retryAfterMs,
} from "./classify.ts";

function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe("outcomeOfTransportError", () => {
  it.each<[Error, boolean, string, string]>([
    [coded("ECONNREFUSED"), false, "failure", "refused"],
    [coded("ENOENT"), false, "failure", "refused"],
    [coded("EHOSTUNREACH"), false, "failure", "unreachable"],
    [coded("ECONNRESET"), true, "failure", "reset"],
    [coded("EPIPE"), true, "failure", "reset"],
    // While connecting, whatever it was: there is no connection.
    [coded("ECONNRESET"), false, "failure", "connect"],
    [coded("ETIMEDOUT"), false, "failure", "connect"],
    [coded("ERR_TLS_CERT_ALTNAME_INVALID"), false, "failure", "connect"],
    [new errors.ConnectTimeoutError(), false, "failure", "connect"],
    [new errors.BodyTimeoutError(), true, "failure", "timeout"],
    [new errors.SocketError("other side closed"), true, "failure", "reset"],
    [new errors.InformationalError("HTTP/2: stream ended"), true, "failure", "reset"],
    [coded("HPE_INVALID_CONSTANT"), true, "failure", "error"],
    [coded("EMFILE"), false, "ignored", "shortage"],
    [coded("EADDRNOTAVAIL"), false, "ignored", "shortage"],
    [coded("ENOTFOUND"), false, "ignored", "shortage"],
    [new errors.RequestAbortedError(), true, "ignored", "aborted"],
    [new errors.InvalidArgumentError("path"), false, "ignored", "call"],
    [new errors.RequestContentLengthMismatchError(), true, "ignored", "call"],
    [coded("ERR_INVALID_ARG_TYPE"), true, "ignored", "call"],
  ])("%s, connected: %s", (error, connected, kind, reason) => {
    expect(outcomeOfTransportError(error, connected)).toMatchObject({ kind, reason });
  });

  it("takes an error of several addresses for what they have in common", () => {
    const error = new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")]);
    expect(outcomeOfTransportError(error, false)).toMatchObject({ kind: "failure", reason: "refused" });
  });
});

describe("outcomeOfFault", () => {
  const goAway = new errors.InformationalError('HTTP/2: "GOAWAY" frame received with code 0');
  const calm = new errors.SocketError('HTTP/2: "GOAWAY" frame received with code 11');
  const closed = new errors.SocketError("other side closed");

  it.each<[Error, AttemptFault, string, string]>([
    [new Error("mine"), "handler", "ignored", "call"],
    [new BalancerError("ERR_OVERLOADED", "orders", "busy"), "unsent", "ignored", "busy"],
    [coded("ECONNREFUSED"), "unsent", "failure", "refused"],
    [closed, "unsent", "failure", "reset"],
    [goAway, "unprocessed", "ignored", "closing"],
    [calm, "unprocessed", "failure", "reset"],
    [goAway, "refused", "failure", "reset"],
    [new Error("refused"), "refused", "failure", "reset"],
    [closed, "stale", "ignored", "closing"],
    [coded("ECONNRESET"), "stale", "ignored", "closing"],
    // Not what a closed connection looks like.
    [coded("HPE_INVALID_CONSTANT"), "stale", "failure", "error"],
    [closed, "broken", "failure", "reset"],
    [goAway, "broken", "failure", "reset"],
  ])("%s, %s", (error, fault, kind, reason) => {
    expect(outcomeOfFault(error, fault)).toMatchObject({ kind, reason });
  });

  it("takes for unprocessed only what provably is", () => {
    const faults: AttemptFault[] = ["handler", "unsent", "unprocessed", "refused", "stale", "broken"];
    expect(faults.filter(isUnprocessed)).toEqual(["unsent", "unprocessed", "refused"]);
  });
});

describe("retryAfterMs", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");

  it.each([
    ["120", 120_000],
    [" 1 ", 1_000],
    ["0", 0],
    ["Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
    ["Wed, 31 Dec 2025 23:00:00 GMT", 0],
    ["soon", 0],
    ["-5", 0],
    ["", 0],
    [undefined, 0],
    [["2", "9"], 2_000],
    [[], 0],
  ])("%j is %i ms", (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });
});
