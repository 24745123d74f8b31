/** What is counted where, who gets a row, and when a row is given back. */
import { beforeEach, describe, expect, it } from "vitest";
import type { AttemptEndEvent, NodeStateEvent } from "../core/events.ts";
import type { ConnectionCounts, ServiceObservation } from "../core/observation.ts";
import type { NodeState, NodeView } from "../core/view.ts";
import { type Books, figures, type Labels } from "./figures.ts";
import { Ledger } from "./ledger.ts";
import type { SeriesLimits } from "./series-options.ts";

const all: SeriesLimits = { services: undefined, maxNodes: 30, maxServices: 10 };

let removed: string[] = [];
beforeEach(() => {
  removed = [];
});

function createLedger(limits: Partial<SeriesLimits> = {}, keepsRows = false): Ledger<string> {
  return new Ledger<string>({
    limits: { ...all, ...limits },
    keepsRows,
    createSink: (service, node) => `${service} ${node}`,
    removed: (row) => removed.push(row.sink),
  });
}

function ended(event: Partial<AttemptEndEvent> = {}): AttemptEndEvent {
  return {
    service: "orders",
    address: "http://a",
    method: "GET",
    path: "/",
    attempt: 1,
    call: {},
    outcome: "success",
    reason: "ok",
    detail: "",
    statusCode: 200,
    latencyMs: 1,
    durationMs: 2,
    ...event,
  };
}

function observation(
  addresses: readonly string[],
  given: Partial<ServiceObservation> & { readonly state?: NodeState; readonly inflight?: number } = {},
): ServiceObservation {
  const { state = "ready", inflight = 0, ...rest } = given;
  return {
    service: "orders",
    nodes: addresses.map((address) => ({ address, state, inflight, latencyMs: 5 }) as NodeView),
    failingOpen: false,
    discovery: { state: "fresh", staleSince: undefined },
    discoveryAgeMs: 0,
    connections: new Map(),
    ...rest,
  };
}

/** The values of one figure that are not 0, by their labels in one text. */
function read(ledger: Books, ...name: readonly string[]): Record<string, number> {
  const figure = figures.find((candidate) => candidate.name.join() === name.join());
  const values: Record<string, number> = {};
  figure?.read(ledger, (labels: Labels, value) => {
    const key = Object.values(labels).join(" ");
    expect(values[key]).toBeUndefined();
    expect(Object.keys(labels)).toEqual(figure.labels);
    values[key] = value;
  });
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== 0));
}

function nodesOf(ledger: Ledger<string>): readonly string[] {
  return Array.from(ledger.rows(), ({ sink }) => sink);
}

const state = (address: string, to: NodeStateEvent["to"]): NodeStateEvent => ({
  service: "orders",
  address,
  from: "ready",
  to,
  reason: "",
});

describe("counts", () => {
  it("attempts by node, outcome and reason", () => {
    const ledger = createLedger();
    ledger.attemptEnded(ended());
    ledger.attemptEnded(ended());
    ledger.attemptEnded(ended({ address: "http://b", outcome: "failure", reason: "refused" }));
    ledger.attemptEnded(ended({ outcome: "ignored", reason: "aborted" }));
    expect(read(ledger, "attempts")).toEqual({
      "orders http://a success ok": 2,
      "orders http://b failure refused": 1,
      "orders http://a ignored aborted": 1,
    });
  });

  it("hedges that lost, and what layers and connections tell, under their own names", () => {
    const ledger = createLedger();
    for (const reason of ["hedged", "busy", "closing"]) {
      ledger.attemptEnded(ended({ outcome: "ignored", reason }));
    }
    ledger.attemptEnded(ended({ outcome: "failure", reason: "dependency" }));
    expect(read(ledger, "attempts")).toEqual({
      "orders http://a ignored hedged": 1,
      "orders http://a ignored busy": 1,
      "orders http://a ignored closing": 1,
      "orders http://a failure dependency": 1,
    });
  });

  it("reasons of a program's own as the plainest of their outcome", () => {
    const ledger = createLedger();
    for (const [outcome, reason] of [
      ["failure", "my own"],
      ["failure", "ok"],
      ["ignored", "timeout"],
      ["success", "toString"],
    ] as const) {
      ledger.attemptEnded(ended({ outcome, reason }));
    }
    expect(read(ledger, "attempts")).toEqual({
      "orders http://a failure error": 2,
      "orders http://a ignored call": 1,
      "orders http://a success ok": 1,
    });
  });

  it("calls, retries, refusals, ejections and errors of discovery", () => {
    const ledger = createLedger();
    const call = { service: "orders", method: "GET", path: "/", call: {}, attempts: 1 };
    ledger.callEnded({ ...call, outcome: "success" });
    ledger.callEnded({ ...call, outcome: "failure" });
    ledger.retried({
      service: "orders",
      address: "http://a",
      attempt: 2,
      delayMs: 0,
      reason: "",
      detail: "",
    });
    ledger.rejected({ service: "orders", code: "ERR_NO_NODE", message: "" });
    ledger.discoveryFailed({ service: "orders", error: new Error("down") });
    ledger.stateChanged(state("http://a", "ejected"));
    ledger.stateChanged(state("http://a", "ready"));
    ledger.stateChanged(state("http://a", "down"));
    expect(read(ledger, "calls")).toEqual({ "orders success": 1, "orders failure": 1 });
    expect(read(ledger, "retries")).toEqual({ orders: 1 });
    expect(read(ledger, "rejects")).toEqual({ "orders ERR_NO_NODE": 1 });
    expect(read(ledger, "discovery", "errors")).toEqual({ orders: 1 });
    expect(read(ledger, "ejections")).toEqual({ "orders http://a": 2 });
  });

  it("only the services that are asked for", () => {
    const ledger = createLedger({ services: new Set(["users"]) });
    expect(ledger.attemptEnded(ended())).toBeUndefined();
    ledger.attemptEnded(ended({ service: "users" }));
    ledger.observe([observation(["http://a"])]);
    expect(nodesOf(ledger)).toEqual(["users http://a"]);
  });
});

describe("observations", () => {
  const counts: ConnectionCounts = { open: 3, idle: 1, connecting: 2, waiting: 4 };

  it("show as they are now", () => {
    const ledger = createLedger();
    const connections = new Map([["http://a", counts]]);
    ledger.observe([observation(["http://a", "http://b"], { inflight: 2, connections, failingOpen: true })]);
    ledger.observe([
      observation(["http://a"], { inflight: 1, connections, state: "ejected", discoveryAgeMs: 1_500 }),
    ]);
    expect(read(ledger, "inflight")).toEqual({ "orders http://a": 1 });
    expect(read(ledger, "node", "state")).toEqual({ "orders http://a ejected": 1 });
    expect(read(ledger, "nodes")).toEqual({ "orders ejected": 1 });
    expect(read(ledger, "node", "latency")).toEqual({ "orders http://a": 0.005 });
    expect(read(ledger, "discovery", "age")).toEqual({ orders: 1.5 });
    expect(read(ledger, "failing_open")).toEqual({});
    expect(read(ledger, "connections")).toEqual({
      "orders http://a open": 3,
      "orders http://a idle": 1,
      "orders http://a connecting": 2,
      "orders http://a waiting": 4,
    });
  });

  it("of two clusters of one name add up", () => {
    const ledger = createLedger();
    const connections = new Map([["http://a", counts]]);
    const one = observation(["http://a"], {
      inflight: 2,
      connections,
      discoveryAgeMs: 10,
      failingOpen: true,
    });
    ledger.observe([one, observation(["http://a"], { inflight: 3, connections, state: "down" })]);
    expect(read(ledger, "inflight")).toEqual({ "orders http://a": 5 });
    expect(read(ledger, "nodes")).toEqual({ "orders ready": 1, "orders down": 1 });
    expect(read(ledger, "failing_open")).toEqual({ orders: 1 });
    expect(read(ledger, "discovery", "age")).toEqual({ orders: 0.01 });
    expect(read(ledger, "connections")).toMatchObject({ "orders http://a open": 6 });
  });

  it("count nodes without a row of their own together", () => {
    const ledger = createLedger({ maxNodes: 1 });
    const connections = new Map(["http://b", "http://c"].map((address) => [address, counts]));
    ledger.observe([observation(["http://a", "http://b", "http://c"], { inflight: 2, connections })]);
    expect(read(ledger, "inflight")).toEqual({ "orders http://a": 2, "orders other": 4 });
    expect(read(ledger, "connections")).toMatchObject({ "orders other open": 6 });
    // A state of several nodes would be a count, and that is what `nodes` is for.
    expect(read(ledger, "node", "state")).toEqual({ "orders http://a ready": 1 });
    expect(read(ledger, "nodes")).toEqual({ "orders ready": 3 });
    expect(read(ledger, "node", "latency")).toEqual({ "orders http://a": 0.005 });
  });
});

describe("rows", () => {
  it("are limited in nodes over all services, and in services", () => {
    const ledger = createLedger({ maxNodes: 2, maxServices: 2 });
    for (const service of ["orders", "users", "carts", "items"]) {
      for (const address of ["http://a", "http://b"]) ledger.attemptEnded(ended({ service, address }));
    }
    expect(read(ledger, "attempts")).toEqual({
      "orders http://a success ok": 1,
      "orders http://b success ok": 1,
      "users other success ok": 2,
      "other other success ok": 4,
    });
  });

  it("of a node that is gone stay until they were read, and then go", () => {
    const ledger = createLedger();
    ledger.observe([observation(["http://a", "http://b"])]);
    ledger.stateChanged(state("http://b", "gone"));
    // Its last attempt ends after it is gone.
    ledger.attemptEnded(ended({ address: "http://b" }));
    ledger.observe([observation(["http://a"])]);
    expect(read(ledger, "attempts")).toEqual({ "orders http://b success ok": 1 });
    expect(removed).toEqual([]);
    ledger.observe([observation(["http://a"])]);
    expect(nodesOf(ledger)).toEqual(["orders http://a"]);
    expect(removed).toEqual(["orders http://b"]);
  });

  it("of a node that is gone make room at once for one that needs it", () => {
    const ledger = createLedger({ maxNodes: 1 });
    ledger.attemptEnded(ended());
    ledger.attemptEnded(ended({ address: "http://b" }));
    expect(nodesOf(ledger)).toEqual(["orders http://a", "orders other"]);
    ledger.stateChanged(state("http://a", "gone"));
    ledger.attemptEnded(ended({ address: "http://b" }));
    expect(nodesOf(ledger)).toEqual(["orders http://b", "orders other"]);
    expect(removed).toEqual(["orders http://a"]);
  });

  it("of a node that came back stay", () => {
    const ledger = createLedger({ maxNodes: 1 });
    ledger.attemptEnded(ended());
    ledger.stateChanged(state("http://a", "gone"));
    ledger.stateChanged(state("http://a", "warming"));
    ledger.attemptEnded(ended({ address: "http://b" }));
    expect(nodesOf(ledger)).toEqual(["orders http://a", "orders other"]);
  });

  it("of a closed cluster go, its service's too", () => {
    const ledger = createLedger();
    ledger.attemptEnded(ended());
    ledger.observe([observation(["http://a", "http://b"])]);
    ledger.observe([]);
    expect(removed.sort()).toEqual(["orders http://a", "orders http://b"]);
    expect([...ledger.services()]).toEqual([]);
  });

  it("that are kept are for good, with nothing in them once the node is gone", () => {
    const ledger = createLedger({ maxNodes: 1 }, true);
    ledger.attemptEnded(ended());
    const connections = new Map([["http://a", { open: 1, idle: 1, connecting: 0, waiting: 0 }]]);
    ledger.observe([observation(["http://a"], { inflight: 1, connections })]);
    ledger.stateChanged(state("http://a", "gone"));
    ledger.observe([]);
    ledger.observe([observation(["http://b"])]);
    expect(nodesOf(ledger)).toEqual(["orders http://a", "orders other"]);
    expect(read(ledger, "attempts")).toEqual({ "orders http://a success ok": 1 });
    for (const name of [["inflight"], ["node", "state"], ["connections"]])
      expect(read(ledger, ...name)).toEqual({});
    expect(removed).toEqual([]);
  });
});
