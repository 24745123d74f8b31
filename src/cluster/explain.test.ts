/** Tests what `explain()` says, as data and as a table. */
import { describe, expect, it } from "vitest";
import type { Policy } from "../core/contracts.ts";
import { list } from "../discovery/list.ts";
import { leastCost } from "../policy/least-cost.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Cluster } from "./cluster.ts";
import type { ClusterOptions } from "./options.ts";

const [a, b, c] = ["http://a", "http://b", "http://c"] as const;

function createCluster(options: Partial<ClusterOptions> = {}) {
  const clock = new ManualClock(1_000);
  const random = () => 0.5;
  const cluster = new Cluster({
    name: "orders",
    discovery: [a, { address: b, weight: 3 }],
    clock,
    random,
    policy: leastCost({ random }),
    ...options,
  });
  return { clock, cluster };
}

const refuse = () => Promise.reject(Object.assign(new Error("no"), { code: "ECONNREFUSED" }));

describe("explain", () => {
  it("says how many calls a node has from all its callers, if it reports that", () => {
    const { clock, cluster } = createCluster();
    const node = cluster.nodeSet.nodes.get(a);
    node?.begin();
    node?.reported({ inflight: 40 }, clock.now());
    const explanation = cluster.explain();
    expect(explanation.nodes.map(({ cost }) => cost.reportedInflight)).toEqual([40, undefined]);
    expect(explanation.nodes[0]?.cost.load).toBe(41 * 2);
    expect(String(explanation)).toMatch(/http:\/\/a .* 1 of 40$/m);
  });

  it("gives each node's cost by factor, and its chance to be picked", () => {
    const { cluster } = createCluster();
    const explanation = cluster.explain();
    expect(explanation).toMatchObject({
      service: "orders",
      policy: "leastCost",
      failingOpen: false,
      nextTrial: undefined,
    });
    expect(explanation.nodes).toEqual([
      {
        address: a,
        state: "ready",
        reason: "",
        until: undefined,
        weight: 1,
        inflight: 0,
        cost: { load: 1, latencyMs: 1, failures: 1, cost: 1 },
        probability: 0.25,
      },
      {
        address: b,
        state: "ready",
        reason: "",
        until: undefined,
        weight: 3,
        inflight: 0,
        cost: { load: 1, latencyMs: 1, failures: 1, cost: 1 },
        probability: 0.75,
      },
    ]);
    expect(JSON.parse(JSON.stringify(explanation)).nodes).toHaveLength(2);
  });

  it("changes nothing", async () => {
    const { cluster } = createCluster({ policy: roundRobin({ random: () => 0 }) });
    for (const next of [a, b, a]) {
      for (let time = 0; time < 3; time++) {
        expect(cluster.explain().nodes.find(({ probability }) => probability === 1)?.address).toBe(next);
      }
      expect(await cluster.call(({ node }) => node.key)).toBe(next);
    }
  });

  it("says why a node is out and until when, and who is tried next", async () => {
    const { cluster, clock } = createCluster({
      discovery: [a, b, { address: c, weight: 0 }],
      policy: roundRobin({ random: () => 0 }),
    });
    const wallOffset = Date.now() - clock.now();
    await cluster.call(refuse).catch(() => {});
    const explanation = cluster.explain();
    expect(explanation.nodes[0]).toMatchObject({ state: "down", reason: "ECONNREFUSED", probability: 0 });
    const { until = 0 } = explanation.nodes[0] ?? {};
    expect(Math.abs(until - wallOffset - clock.now() - 950)).toBeLessThan(1_000);
    expect(explanation.nodes[1]).toMatchObject({ state: "ready", probability: 1 });
    expect(explanation.nodes[2]).toMatchObject({ state: "draining", reason: "weight 0", probability: 0 });
    clock.advance(1_000);
    expect(cluster.explain().nextTrial).toBe(a);
    expect(String(cluster.explain())).toContain("the next call that may be retried tries http://a");
  });

  it("says when calls go out although every node is out", async () => {
    const { cluster } = createCluster({ discovery: [a] });
    await cluster.call(refuse).catch(() => {});
    const explanation = cluster.explain();
    expect(explanation.failingOpen).toBe(true);
    expect(explanation.nodes[0]?.probability).toBe(1);
    expect(String(explanation)).toContain("every node is out; calls go out anyway");
  });

  it("gives every number a value, of nodes without weight too", () => {
    const { cluster } = createCluster({ discovery: [{ address: a, weight: 0 }, b] });
    for (const { cost } of cluster.explain().nodes) {
      for (const factor of Object.values(cost)) expect(factor).not.toBeNaN();
    }
    expect(String(cluster.explain())).not.toContain("NaN");
  });

  it("leaves the chance open where the policy cannot tell", () => {
    const first: Policy = { name: "first", build: (nodes) => ({ pick: () => nodes[0] }) };
    const { cluster } = createCluster({ policy: first });
    expect(cluster.explain().nodes.map(({ probability }) => probability)).toEqual([undefined, undefined]);
    expect(String(cluster.explain())).toContain("?");
  });

  it("explains for the call that it is given", () => {
    const byPath: Policy = {
      name: "byPath",
      build: (nodes) => ({
        pick: () => nodes[0],
        shares: (call: { path: string; hashKey?: string }) =>
          new Map(nodes.map((node) => [node, `${call.path}${call.hashKey ?? ""}` === node.key ? 1 : 0])),
      }),
    };
    const { cluster } = createCluster({ policy: byPath });
    const shares = (call: object) => cluster.explain(call).nodes.map(({ probability }) => probability);
    expect(shares({ path: a })).toEqual([1, 0]);
    expect(shares({ path: "http://", hashKey: "b" })).toEqual([0, 1]);
    expect(shares({})).toEqual([0, 0]);
  });

  it("is empty without nodes", () => {
    const { cluster } = createCluster({ discovery: list([]) });
    expect(cluster.explain().nodes).toEqual([]);
    expect(String(cluster.explain())).toMatch(/^orders: leastCost\nnode +state/);
  });

  it("is a table for people", () => {
    const nodes = list([a]);
    const { cluster } = createCluster({ discovery: nodes });
    nodes.add({ address: b, weight: 2 });
    void cluster.call(() => new Promise(() => {})).catch(() => {});
    const lines = String(cluster.explain()).split("\n");
    expect(lines[0]).toBe("orders: leastCost");
    expect(lines.slice(1).map((line) => line.split(/ {2,}/))).toEqual([
      ["node", "state", "picked", "cost", "= load", "x ms", "x failures", "weight", "in flight", "why"],
      expect.arrayContaining([a, "ready"]),
      expect.arrayContaining([b, "warming", "joined lately, for another 10.0 s"]),
    ]);
    const starts = lines.slice(1).map((line) => line.search(/ready|warming|state/));
    expect(new Set(starts).size).toBe(1);
    cluster.destroy();
  });
});
