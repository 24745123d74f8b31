/** Tests what statuses mean for a node where servers cannot be made to show it. */
import { status } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { outcomeOfEnd } from "./classify.ts";

const plain = { details: "", isRefused: false, isClosing: false, hadItsChance: false, wasBlocked: false };

it.each([
  [
    "a refused stream of a connection that goes",
    { code: status.UNAVAILABLE, isRefused: true, isClosing: true },
    "ignored closing",
  ],
  ["a refused stream of one that stays", { code: status.UNAVAILABLE, isRefused: true }, "failure reset"],
  ["a dropped connection", { code: status.UNAVAILABLE, details: "Connection dropped" }, "failure reset"],
  [
    "a connection dropped by a process that was blocked",
    { code: status.UNAVAILABLE, details: "Connection dropped", wasBlocked: true },
    "ignored shortage",
  ],
  ["a reset connection", { code: status.UNAVAILABLE, details: "read ECONNRESET" }, "failure reset"],
  ["a server's own UNAVAILABLE", { code: status.UNAVAILABLE, details: "full" }, "failure status"],
  [
    "a deadline with a fair chance",
    { code: status.DEADLINE_EXCEEDED, hadItsChance: true },
    "failure timeout",
  ],
  ["a deadline without one", { code: status.DEADLINE_EXCEEDED }, "ignored deadline"],
  [
    "pings that were too many",
    { code: status.RESOURCE_EXHAUSTED, details: "Bandwidth exhausted or so", isClosing: true },
    "ignored closing",
  ],
  [
    "an answer over our own limit",
    { code: status.RESOURCE_EXHAUSTED, details: "Received message larger than max (9 vs 8)" },
    "ignored call",
  ],
  ["a status of the future", { code: 99 }, "success ok"],
])("%s", (_name, end, expected) => {
  const { kind, reason } = outcomeOfEnd({ ...plain, ...end });
  expect(`${kind} ${reason}`).toBe(expected);
});
