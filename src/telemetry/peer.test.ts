/** A peer that is there is loaded; one that is not is named, with what needs it. */
import { expect, it } from "vitest";
import { loadPeer } from "./peer.ts";

it("loads what is installed", () => {
  expect(loadPeer<typeof import("prom-client")>("prom-client", "evenkeel/prometheus").Registry).toBeTypeOf(
    "function",
  );
});

it("says what to install", () => {
  expect(() => loadPeer("@evenkeel/not-there", "evenkeel/otel")).toThrow(
    expect.objectContaining({
      message: "install @evenkeel/not-there to use evenkeel/otel",
      cause: expect.objectContaining({ code: "MODULE_NOT_FOUND" }),
    }),
  );
});
