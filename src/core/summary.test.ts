/** What a service looks like in a log: short, in columns, and within the limits that `util.inspect` was given. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { checkEndpoint } from "./endpoint.ts";
import { Fleet } from "./fleet.ts";
import { Node } from "./node.ts";
import { countStates, describeSummary, type Summary } from "./summary.ts";
import { type NodeView, viewOf } from "./view.ts";

function viewsOf(count: number): NodeView[] {
  const fleet = new Fleet();
  return Array.from({ length: count }, (_, index) => {
    return viewOf(new Node(checkEndpoint(`http://10.0.0.${index + 1}:8080`), fleet, 0, false), 0, 0);
  });
}

function summaryOf(nodes: readonly NodeView[], change: Partial<Summary> = {}): Summary {
  const fixed = {
    name: "orders",
    policy: "leastCost",
    discovery: "fresh",
    failingOpen: false,
    closed: false,
  } as const;
  return { ...fixed, states: countStates(nodes), nodes, ...change };
}

test("a line for the service and one for each node", () => {
  const [first, second] = viewsOf(2) as [NodeView, NodeView];
  const ejected = { ...second, state: "ejected", reason: "5 failures in a row", until: 13_200 } as const;
  const more = { calls: 40, failures: 5, inflight: 3, latencyMs: 12.345, weight: 2, zone: "b", priority: 1 };
  const text = describeSummary("Balancer", summaryOf([first, { ...ejected, ...more }]), 2, {}, 10_000);
  expect(text.split("\n")).toEqual([
    "Balancer orders: leastCost, 2 nodes (1 ready, 1 ejected)",
    "  http://10.0.0.1:8080  ready     0 in flight, 1.0 ms, 0 calls",
    "  http://10.0.0.2:8080  ejected   3 in flight, 12.3 ms, 40 calls, 5 failed, weight 2, zone b, priority 1, " +
      "5 failures in a row, for another 3.2 s",
  ]);
});

test("what is out of the ordinary stands in the first line", () => {
  const text = describeSummary(
    "Cluster",
    summaryOf([], { discovery: "never", failingOpen: true, closed: true }),
    2,
    {},
    0,
  );
  expect(text).toBe(
    "Cluster orders: leastCost, 0 nodes; discovery has named no node yet; every node is out; calls go out anyway; closed",
  );
});

test("no more nodes than asked for, and one line when there is no room", () => {
  const summary = summaryOf(viewsOf(5));
  const linesAt = (depth: number, maxArrayLength: number | null) =>
    describeSummary("Balancer", summary, depth, { maxArrayLength }, 0).split("\n");
  expect(linesAt(0, 3)).toHaveLength(5);
  expect(linesAt(0, 3).at(-1)).toBe("  ... 2 more nodes");
  expect(linesAt(0, null)).toHaveLength(6);
  expect(linesAt(-1, 100)).toEqual(["[Balancer orders: leastCost, 5 nodes (5 ready)]"]);
});

test("a node is a line, and plain data", () => {
  const node = new Node(
    checkEndpoint({ address: "10.0.0.1:8080", weight: 2, zone: "b" }),
    new Fleet(),
    0,
    false,
  );
  expect(inspect({ node })).toBe(
    "{\n  node: Node http://10.0.0.1:8080 (new, 0 in flight, 1.0 ms, failure rate 0.00)\n}",
  );
  expect(JSON.parse(JSON.stringify(node))).toMatchObject({
    address: "http://10.0.0.1:8080",
    weight: 2,
    zone: "b",
  });
});
