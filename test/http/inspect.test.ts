/** What a balancer, its views and its parts look like in logs and debuggers: readable, plain, and without secrets. */
import { inspect } from "node:util";
import { afterAll, expect, test } from "vitest";
import { Balancer } from "../../src/http/balancer.ts";

const secret = "-----BEGIN PRIVATE KEY----- do not show";
const orders = new Balancer({
  name: "orders",
  discovery: ["http://10.0.0.1:8080", { address: "http://10.0.0.2:8080", zone: "b" }],
  tls: { key: secret, cert: "certificate" },
});
afterAll(() => orders.close());

const view = orders.with({ attemptMs: 100, hashKey: "session-id" });
const clusterView = orders.cluster.with({ totalMs: 1_000 });

test("a line for the service, and one for each node", () => {
  const nodes = [
    "  http://10.0.0.1:8080  ready     0 in flight, 1.0 ms, 0 calls",
    "  http://10.0.0.2:8080  ready     0 in flight, 1.0 ms, 0 calls, zone b",
  ];
  expect(inspect(orders).split("\n")).toEqual(["Balancer orders: leastCost, 2 nodes (2 ready)", ...nodes]);
  expect(inspect(orders.cluster).split("\n")).toEqual([
    "Cluster orders: leastCost, 2 nodes (2 ready)",
    ...nodes,
  ]);
  expect(inspect(view).split("\n")[0]).toBe(
    "BalancerView with totalMs 30000, attemptMs 100, attempts 3 of orders: leastCost, 2 nodes (2 ready)",
  );
  expect(inspect(clusterView).split("\n")[0]).toMatch(/^ClusterView with totalMs 1000, /);
});

test("JSON is what nodes says, and how the service is", () => {
  const json = JSON.parse(JSON.stringify(orders));
  expect(json).toMatchObject({
    name: "orders",
    policy: "leastCost",
    discovery: "fresh",
    states: { ready: 2 },
  });
  expect(json.nodes.map(({ address }: { address: string }) => address)).toEqual([
    "http://10.0.0.1:8080",
    "http://10.0.0.2:8080",
  ]);
  expect(JSON.parse(JSON.stringify(view)).rules).toMatchObject({ attemptMs: 100, attempts: 3 });
});

test("explain() prints as its table", () => {
  const explanation = orders.explain();
  expect(inspect(explanation)).toBe(String(explanation));
  expect(Object.keys(explanation)).toEqual(["service", "policy", "failingOpen", "nextTrial", "nodes"]);
});

test.each(
  Object.entries({
    orders,
    cluster: orders.cluster,
    view,
    clusterView,
    composed: orders.compose((dispatch) => dispatch),
  }),
)("%s shows no secret and no internals, however deep one looks", (_name, object) => {
  for (const text of [
    inspect(object, { depth: null, showHidden: true }),
    inspect({ deeper: { still: object } }, { depth: 0 }),
    JSON.stringify(object),
  ]) {
    expect(text).not.toMatch(/PRIVATE KEY|certificate|session-id|#|Symbol/);
    expect(text.length).toBeLessThan(1_500);
  }
});

test("the options, which are in reach, keep the key to themselves", () => {
  const { options } = orders.cluster;
  expect(inspect(options, { depth: null })).not.toMatch(/PRIVATE KEY|certificate/);
  expect(JSON.parse(JSON.stringify(options.tls))).toEqual({ cert: "(not shown)", key: "(not shown)" });
  expect(options.tls.key).toBe(secret);
});

test("closed and destroyed ones can be looked at, too", async () => {
  const other = new Balancer({ name: "other", discovery: ["http://10.0.0.1:8080"] });
  await other.close();
  expect(inspect(other)).toMatch(/^Balancer other: leastCost, 1 node \(1 ready\); closed\n/);
  await other.destroy();
  expect(inspect(other)).toMatch(/^Balancer other/);
});
