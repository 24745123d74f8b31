/** Tests whose nodes are watched and for how long, what a check is told of them, and what becomes of its reports. */
import { afterEach, describe, expect, it } from "vitest";
import type { CheckResult, CheckTarget, HealthCheck } from "../core/health-check.ts";
import type { Node } from "../core/node.ts";
import { list } from "../discovery/list.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Cluster } from "./cluster.ts";
import type { ClusterOptions } from "./options.ts";

const [a, b, c] = ["http://a", "http://b", "http://c"] as const;
const sick: CheckResult = { healthy: false, detail: "status 503" };
const well: CheckResult = { healthy: true, detail: "" };

const releases: (() => void)[] = [];
afterEach(() => {
  for (const release of releases.splice(0)) release();
});

/** A check that says what the test tells it to. */
class ScriptedCheck implements HealthCheck {
  readonly name: string = "scripted";
  readonly targets: CheckTarget[] = [];
  /** What watches run, and how each one reports. */
  readonly watched: Map<string, (result: CheckResult) => void> = new Map();
  readonly ended: string[] = [];
  /** Reported from within `watch`. */
  first: CheckResult | undefined = undefined;

  watch(target: CheckTarget, report: (result: CheckResult) => void): Disposable {
    const { text } = target.address;
    this.targets.push(target);
    this.watched.set(text, report);
    if (this.first !== undefined) report(this.first);
    return {
      [Symbol.dispose]: () => {
        this.watched.delete(text);
        this.ended.push(text);
      },
    };
  }

  report(address: string, result: CheckResult): void {
    this.watched.get(address)?.(result);
  }
}

function createCluster(check: HealthCheck, options: Partial<ClusterOptions> = {}) {
  const clock = new ManualClock(1_000);
  const cluster = new Cluster({
    name: "orders",
    discovery: [a, b],
    clock,
    random: () => 0.5,
    policy: roundRobin({ random: () => 0 }),
    health: { check },
    ...options,
  });
  releases.push(() => cluster.destroy());
  const states = () => Object.fromEntries(cluster.nodes.map(({ address, state }) => [address, state]));
  return { clock, cluster, states };
}

describe("the watch over a node", () => {
  it("begins when it joins and ends when it leaves", () => {
    const check = new ScriptedCheck();
    const nodes = list([a, b]);
    createCluster(check, { discovery: nodes });
    expect([...check.watched.keys()]).toEqual([a, b]);
    nodes.set([b, c]);
    expect(check.ended).toEqual([a]);
    expect([...check.watched.keys()]).toEqual([b, c]);
    nodes.set([b, { address: c, weight: 3 }]);
    expect(check.targets).toHaveLength(3);
  });

  it("ends for a node that discovery removed, whatever calls it still has, and begins anew when it is back", async () => {
    const check = new ScriptedCheck();
    const nodes = list([a, b]);
    const { cluster, states } = createCluster(check, { discovery: nodes });
    check.report(a, sick);
    const { promise, resolve } = Promise.withResolvers<void>();
    const call = cluster.call(({ node }) => promise.then(() => node.key));
    nodes.set([a]);
    expect(check.ended).toEqual([b]);
    expect(states()).toEqual({ [a]: "down", [b]: "draining" });
    nodes.set([a, b]);
    expect([...check.watched.keys()]).toEqual([a, b]);
    check.report(b, sick);
    expect(states()).toEqual({ [a]: "down", [b]: "down" });
    resolve();
    expect(await call).toBe(b);
  });

  it("goes on while the program drains the node", () => {
    const check = new ScriptedCheck();
    const { cluster, states } = createCluster(check);
    cluster.drain(a);
    check.report(a, sick);
    expect(states()[a]).toBe("draining");
    cluster.undrain(a);
    expect(states()[a]).toBe("down");
  });

  it("ends with the cluster, closed or destroyed, and goes on until the last call has ended", async () => {
    const check = new ScriptedCheck();
    const { cluster } = createCluster(check);
    const { promise, resolve } = Promise.withResolvers<void>();
    const call = cluster.call(() => promise);
    const closed = cluster.close();
    expect(check.ended).toEqual([]);
    resolve();
    await call;
    await closed;
    expect(check.ended).toEqual([a, b]);

    const other = new ScriptedCheck();
    createCluster(other).cluster.destroy();
    expect(other.ended).toEqual([a, b]);
  });

  it("is told where the node is, what it is called and how it is trusted", () => {
    const check = new ScriptedCheck();
    const { clock } = createCluster(check, {
      discovery: ["https://10.0.0.1:8443", "http://orders-1.internal:8080", "unix:/run/orders.sock"],
      tls: { ca: "CA" },
    });
    expect(
      check.targets.map(({ address, origin, servername }) => [address.text, origin.href, servername]),
    ).toEqual([
      ["https://10.0.0.1:8443", "https://orders/", "orders"],
      ["http://orders-1.internal:8080", "http://orders-1.internal:8080/", "orders-1.internal"],
      ["unix:/run/orders.sock", "http://orders/", "orders"],
    ]);
    expect(check.targets[0]).toMatchObject({ service: "orders", tls: { ca: "CA" }, clock });
    expect(check.targets[0]?.dispatcher()).toBeUndefined();
  });

  it("is given the connections of a transport as long as there is one", () => {
    const check = new ScriptedCheck();
    const { cluster } = createCluster(check);
    const asked: string[] = [];
    const source = (node: Node) => {
      asked.push(node.key);
      return undefined as never;
    };
    cluster.connectionSources.add(source);
    check.targets[1]?.dispatcher();
    cluster.connectionSources.delete(source);
    check.targets[1]?.dispatcher();
    expect(asked).toEqual([b]);
  });
});

describe("a report", () => {
  it("takes its node out and brings it back", () => {
    const check = new ScriptedCheck();
    const { cluster, states } = createCluster(check);
    check.report(a, sick);
    expect(states()).toEqual({ [a]: "down", [b]: "ready" });
    expect(String(cluster.explain())).toMatch(/http:\/\/a +down +0\.0%.* check failed: status 503$/m);
    check.report(a, well);
    expect(states()).toEqual({ [a]: "warming", [b]: "ready" });
  });

  it("may come from within the start of the watch", () => {
    const check = new ScriptedCheck();
    check.first = sick;
    const { cluster } = createCluster(check);
    expect(cluster.nodes.map(({ state }) => state)).toEqual(["down", "down"]);
    expect(cluster.failingOpen).toBe(true);
  });

  it("is not heeded after the end of the watch, also when the node is back", async () => {
    const check = new ScriptedCheck();
    const nodes = list([a, b]);
    const { cluster, states } = createCluster(check, { discovery: nodes });
    const { promise, resolve } = Promise.withResolvers<void>();
    check.report(a, sick);
    const call = cluster.call(() => promise);
    const late = check.watched.get(b);
    nodes.set([a]);
    late?.(sick);
    nodes.set([a, b]);
    late?.(sick);
    expect(states()).toEqual({ [a]: "down", [b]: "ready" });
    resolve();
    await call;
  });

  it("ends the wait for a node that may be called", async () => {
    const check = new ScriptedCheck();
    check.first = sick;
    const { clock, cluster } = createCluster(check, { health: { check, failOpen: false } });
    let isReady = false;
    const ready = cluster.ready().then(() => {
      isReady = true;
    });
    await clock.advanceAsync(100);
    expect(isReady).toBe(false);
    check.report(b, well);
    await ready;
  });

  it("makes a call go elsewhere, and out all the same when there is no elsewhere", async () => {
    const check = new ScriptedCheck();
    const { cluster } = createCluster(check);
    const called = async () => await cluster.call(({ node }) => node.key);
    check.report(a, sick);
    expect(await Promise.all([called(), called(), called()])).toEqual([b, b, b]);
    check.report(b, sick);
    expect(new Set(await Promise.all([called(), called(), called()]))).toEqual(new Set([a, b]));
  });
});

describe("a check that cannot begin", () => {
  it("is warned of, and says nothing about its node", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    releases.push(() => process.off("warning", onWarning));
    const check: HealthCheck = {
      name: "broken",
      watch: () => {
        throw new Error("no client library");
      },
    };
    const { cluster, states } = createCluster(check);
    expect(states()).toEqual({ [a]: "ready", [b]: "ready" });
    expect(await cluster.call(({ node }) => node.key)).toMatch(/^http:/);
    // Warnings are emitted on the next tick.
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings.map(({ name, message }) => `${name}: ${message}`)).toEqual([
      "HealthCheckWarning: orders: broken cannot watch http://a: Error: no client library",
      "HealthCheckWarning: orders: broken cannot watch http://b: Error: no client library",
    ]);
  });
});
