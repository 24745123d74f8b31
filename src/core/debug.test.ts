/** Each event is one line that a person can read, whatever stands in it. */
import { expect, test } from "vitest";
import { lineOf } from "./debug.ts";

type Logged = Parameters<typeof lineOf>[0];

const attempt = {
  service: "orders",
  address: "http://10.0.0.1:8080",
  method: "GET",
  path: "/v1?token=secret",
  attempt: 2,
  call: {},
  statusCode: undefined,
  addHeader: () => {},
};

const cases: readonly {
  readonly [Name in Logged]: readonly [Name, Parameters<typeof lineOf<Name>>[1], string];
}[Logged][] = [
  ["evenkeel:attempt:start", attempt, "orders: GET /v1: attempt 2 to http://10.0.0.1:8080"],
  [
    "evenkeel:attempt:end",
    { ...attempt, outcome: "success", reason: "ok", detail: "", latencyMs: 1, durationMs: 2.34 },
    "orders: GET /v1: attempt 2 to http://10.0.0.1:8080 ended after 2.3 ms: success",
  ],
  [
    "evenkeel:attempt:end",
    { ...attempt, outcome: "failure", reason: "status", detail: "503", latencyMs: 1, durationMs: 2 },
    "orders: GET /v1: attempt 2 to http://10.0.0.1:8080 ended after 2.0 ms: failure (status: 503)",
  ],
  [
    "evenkeel:node:state",
    { service: "orders", address: "http://10.0.0.1:8080", from: "new", to: "ready", reason: "" },
    "orders: http://10.0.0.1:8080: new -> ready",
  ],
  [
    "evenkeel:node:state",
    {
      service: "orders",
      address: "http://10.0.0.1:8080",
      from: "ready",
      to: "ejected",
      reason: "5 failures in a row",
    },
    "orders: http://10.0.0.1:8080: ready -> ejected (5 failures in a row)",
  ],
  [
    "evenkeel:discovery:update",
    { service: "orders", endpoints: 3, added: 1, removed: 0, changed: 2 },
    "orders: discovery: 3 endpoints, 1 added, 0 removed, 2 changed",
  ],
  [
    "evenkeel:discovery:error",
    { service: "orders", error: new Error("bad line\nand\u2028another\u001b[31m") },
    "orders: discovery: bad line and another [31m",
  ],
  [
    "evenkeel:registration:state",
    { service: "orders", address: "http://10.0.0.1:8080", id: "10.0.0.1:8080:5eed", state: "registered" },
    "orders: http://10.0.0.1:8080 is registered as 10.0.0.1:8080:5eed",
  ],
  [
    "evenkeel:registration:error",
    { service: "orders", address: "http://10.0.0.1:8080", error: new Error("etcd is down") },
    "orders: registration of http://10.0.0.1:8080: etcd is down",
  ],
  [
    "evenkeel:registration:error",
    { service: "orders", address: undefined, error: new Error("no database yet") },
    "orders: registration: no database yet",
  ],
  [
    "evenkeel:retry",
    {
      service: "orders",
      address: "http://10.0.0.1:8080",
      attempt: 2,
      delayMs: 12,
      reason: "reset",
      detail: "",
    },
    "orders: attempt 2 follows in 12.0 ms, as http://10.0.0.1:8080 failed (reset)",
  ],
  [
    "evenkeel:reject",
    { service: "orders", code: "ERR_CLOSED", message: "the cluster is closed" },
    "orders: refused, ERR_CLOSED: the cluster is closed",
  ],
  [
    "evenkeel:shed",
    {
      service: "orders",
      method: "GET",
      path: "/v1/orders?secret=1",
      priority: "sheddable",
      reason: "concurrency",
      inflight: 12,
      limit: 12,
    },
    "orders: GET /v1/orders, sheddable, is shed (concurrency): 12 in flight of 12",
  ],
];

test.each(cases)("%s", (name, event, line) => {
  expect(lineOf(name, event as never)).toBe(line);
});
