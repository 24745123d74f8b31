/** Tests a cluster's life: readiness, drains, discovery, events, graceful and forced ends. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import type { Discovery } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import type { Events } from "../core/events.ts";
import { collect } from "../core/observation.ts";
import { list } from "../discovery/list.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Cluster } from "./cluster.ts";
import type { ClusterOptions } from "./options.ts";

const [a, b, c] = ["http://a", "http://b", "http://c"] as const;

const releases: (() => void)[] = [];
afterEach(() => {
  for (const release of releases.splice(0)) release();
});

function listen<Name extends keyof Events>(name: Name): Events[Name][] {
  const events: Events[Name][] = [];
  const listener = (event: unknown) => events.push(event as Events[Name]);
  subscribe(name, listener);
  releases.push(() => unsubscribe(name, listener));
  return events;
}

function createCluster(options: Partial<ClusterOptions> = {}) {
  const clock = new ManualClock(1_000);
  const policy = roundRobin({ random: () => 0 });
  const cluster = new Cluster({
    name: "orders",
    discovery: [a, b],
    clock,
    random: () => 0.5,
    policy,
    ...options,
  });
  releases.push(() => cluster.destroy());
  const settled = async (promise: Promise<unknown>): Promise<unknown> => {
    let state: unknown = "pending";
    promise.then(
      () => {
        state = "resolved";
      },
      (error: unknown) => {
        state = error;
      },
    );
    await clock.advanceAsync(0);
    return state;
  };
  return { clock, cluster, settled };
}

/** A source that the test feeds. */
function createSource() {
  const queue: (readonly Endpoint[] | Error)[] = [];
  let wake = () => {};
  let released = 0;
  const discovery: Discovery = {
    async *watch({ signal }) {
      signal.addEventListener("abort", () => released++);
      for (;;) {
        const next = queue.shift();
        if (next instanceof Error) throw next;
        if (next !== undefined) yield next;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    },
  };
  return {
    discovery,
    push: (...addresses: string[]) => {
      queue.push(addresses.map((address) => ({ address })));
      wake();
    },
    fail: (error: Error) => {
      queue.push(error);
      wake();
    },
    get released() {
      return released;
    },
  };
}

const hang = () => new Promise<never>(() => {});

describe("a new cluster", () => {
  it("has the nodes of its list at once", () => {
    const { cluster } = createCluster({ discovery: [a, { address: b, weight: 2, zone: "z", priority: 1 }] });
    expect(cluster.discoveryState).toEqual({ state: "fresh", staleSince: undefined });
    expect(cluster.nodes).toMatchObject([
      { address: a, weight: 1, state: "ready", reason: "", inflight: 0, calls: 0, failures: 0, latencyMs: 1 },
      { address: b, weight: 2, zone: "z", priority: 1, failureRate: 0, metadata: {} },
    ]);
    expect(cluster.nodes[0]?.since).toBeGreaterThan(Date.now() - 60_000);
    expect(cluster.nodes[0]?.since).toBeLessThanOrEqual(Date.now() + 1);
  });

  it("has no timer of its own", () => {
    expect(createCluster().clock.pendingTimers).toBe(0);
  });

  it("takes the scheme for addresses without one", () => {
    const { cluster } = createCluster({ discovery: ["10.0.0.1:8443"], scheme: "https" });
    expect(cluster.nodes[0]?.address).toBe("https://10.0.0.1:8443");
    expect(cluster.drain("10.0.0.1:8443")).toBe(true);
  });
});

describe("ready", () => {
  it("resolves at once when a node may be called", async () => {
    const { cluster, settled } = createCluster();
    expect(await settled(cluster.ready())).toBe("resolved");
  });

  it("resolves with the first set, for all who wait, and leaves no timer", async () => {
    const source = createSource();
    const { cluster, clock, settled } = createCluster({ discovery: source.discovery });
    const waits = [cluster.ready(), cluster.ready({ timeoutMs: 5_000 })];
    expect(await settled(waits[0] as Promise<void>)).toBe("pending");
    source.push(a);
    await clock.advanceAsync(0);
    expect(await Promise.all(waits)).toEqual([undefined, undefined]);
    // The guard's own: it waits for the end of a burst.
    clock.advance(100);
    expect(clock.pendingTimers).toBe(0);
  });

  it("waits on over a set that nobody may be called of", async () => {
    const nodes = list([{ address: a, weight: 0 }]);
    const { cluster, settled } = createCluster({ discovery: nodes });
    const ready = cluster.ready();
    expect(await settled(ready)).toBe("pending");
    nodes.add(b);
    expect(await settled(ready)).toBe("resolved");
  });

  it("resolves when a node is undrained", async () => {
    const { cluster, settled } = createCluster({ discovery: [a] });
    cluster.drain(a);
    const ready = cluster.ready();
    expect(await settled(ready)).toBe("pending");
    cluster.undrain(a);
    expect(await settled(ready)).toBe("resolved");
  });

  it("fails in time, and says how things stand", async () => {
    const { cluster, clock, settled } = createCluster({ discovery: createSource().discovery });
    const ready = cluster.ready({ timeoutMs: 500 });
    const state = settled(ready);
    expect(await state).toBe("pending");
    await clock.advanceAsync(500);
    await expect(ready).rejects.toMatchObject({
      code: "ERR_NO_NODE",
      message: "orders: discovery has named no node yet, after 500 ms",
    });
    const drained = createCluster({ discovery: [{ address: a, weight: 0 }] });
    const other = drained.cluster.ready();
    await drained.settled(other);
    await drained.clock.advanceAsync(10_000);
    await expect(other).rejects.toThrow("none of 1 nodes may be called (1 draining), after 10000 ms");
  });

  it("fails at once when the cluster is closed or destroyed meanwhile", async () => {
    for (const end of ["close", "destroy"] as const) {
      const { cluster, clock, settled } = createCluster({ discovery: createSource().discovery });
      const ready = cluster.ready();
      expect(await settled(ready)).toBe("pending");
      void cluster[end]();
      expect(await settled(ready)).toMatchObject({ code: "ERR_CLOSED" });
      expect(clock.pendingTimers).toBe(0);
      expect(await settled(cluster.ready())).toMatchObject({ code: "ERR_CLOSED" });
    }
  });

  it("names a bad option", async () => {
    const { cluster } = createCluster();
    await expect(cluster.ready({ timeoutMs: -1 })).rejects.toThrow(/^ready.timeoutMs must be .*, got -1$/);
    await expect(cluster.ready({ timeout: 5 } as object)).rejects.toThrow('did you mean "timeoutMs"?');
  });
});

describe("drain and undrain", () => {
  it("take any spelling of an address, and tell whether there is such a node", async () => {
    const { cluster } = createCluster();
    expect(cluster.drain("A:80")).toBe(true);
    expect(cluster.nodes[0]).toMatchObject({ state: "draining", reason: "drained by the program" });
    expect(await cluster.call(({ node }) => node.key)).toBe(b);
    expect(cluster.undrain("HTTP://a/")).toBe(true);
    expect(cluster.nodes[0]?.state).toBe("ready");
    expect(cluster.drain("http://nobody")).toBe(false);
    expect(() => cluster.drain("ftp://a")).toThrow(RangeError);
  });

  it("let calls under way finish", async () => {
    const { cluster, settled } = createCluster();
    let finish = (_value: number) => {};
    const call = cluster.call(
      () =>
        new Promise<number>((resolve) => {
          finish = resolve;
        }),
    );
    cluster.drain(a);
    expect(await settled(call)).toBe("pending");
    expect(cluster.nodes[0]).toMatchObject({ state: "draining", inflight: 1 });
    finish(4);
    expect(await call).toBe(4);
  });
});

describe("discovery", () => {
  it("is applied while calls run: gone nodes drain, new ones warm up", async () => {
    const nodes = list([a, b]);
    const { cluster, settled } = createCluster({ discovery: nodes });
    const call = cluster.call(hang);
    nodes.set([b, c]);
    expect(await settled(call)).toBe("pending");
    expect(cluster.nodes.map(({ address, state, inflight }) => [address, state, inflight])).toEqual([
      [a, "draining", 1],
      [b, "ready", 0],
      [c, "warming", 0],
    ]);
  });

  it("that fails changes nothing, and is reported", async () => {
    const errors = listen("evenkeel:discovery:error");
    const source = createSource();
    const { cluster, clock } = createCluster({ discovery: source.discovery });
    source.push(a, b);
    await clock.advanceAsync(0);
    const error = new Error("registry down");
    source.fail(error);
    await clock.advanceAsync(0);
    expect(errors).toEqual([{ service: "orders", error }]);
    expect(cluster.discoveryState.state).toBe("stale");
    expect(cluster.nodes.map(({ state }) => state)).toEqual(["ready", "ready"]);
  });

  it("refuses bad endpoints alone", async () => {
    const errors = listen("evenkeel:discovery:error");
    const source = createSource();
    const { cluster, clock } = createCluster({ discovery: source.discovery });
    source.push(a, "http://a:0", "ftp://x");
    await clock.advanceAsync(0);
    expect(cluster.nodes.map(({ address }) => address)).toEqual([a]);
    expect(errors).toHaveLength(2);
  });

  it("is told when a suspect seems to be gone", async () => {
    const source = createSource();
    const { cluster, clock } = createCluster({ discovery: source.discovery, retry: false });
    const six = Array.from({ length: 6 }, (_, index) => `http://n${index}`);
    source.push(...six);
    await clock.advanceAsync(2_000);
    source.push("http://n0");
    await clock.advanceAsync(2_000);
    expect(cluster.nodes.filter(({ state }) => state === "suspect")).toHaveLength(5);
    const refuse = ({ node }: { node: { key: string } }) =>
      node.key === "http://n0" ? 1 : Promise.reject(Object.assign(new Error("no"), { code: "ECONNREFUSED" }));
    for (let call = 0; call < 12; call++) await cluster.call(refuse).catch(() => {});
    expect(cluster.nodes.map(({ address }) => address)).toEqual(["http://n0"]);
  });
});

describe("events", () => {
  it("tell of each update of the set", () => {
    const updates = listen("evenkeel:discovery:update");
    const states = listen("evenkeel:node:state");
    const nodes = list([a, b]);
    createCluster({ discovery: nodes });
    nodes.set([{ address: b, weight: 3 }, c]);
    nodes.set([{ address: b, weight: 3 }, c]);
    expect(updates).toEqual([
      { service: "orders", endpoints: 2, added: 2, removed: 0, changed: 0 },
      { service: "orders", endpoints: 2, added: 1, removed: 1, changed: 1 },
    ]);
    expect(states.map(({ address, from, to, reason }) => [address, from, to, reason])).toEqual([
      [a, "new", "ready", "named by discovery"],
      [b, "new", "ready", "named by discovery"],
      [c, "new", "warming", "joined lately"],
      [a, "ready", "draining", "removed by discovery"],
      [a, "draining", "gone", "removed by discovery"],
    ]);
  });

  it("come after the state that they tell of", () => {
    const { cluster } = createCluster({ discovery: [a] });
    const seen: unknown[] = [];
    const listener = () => seen.push(cluster.nodes[0]?.state);
    subscribe("evenkeel:node:state", listener);
    releases.push(() => unsubscribe("evenkeel:node:state", listener));
    cluster.drain(a);
    cluster.undrain(a);
    expect(seen).toEqual(["draining", "ready"]);
  });
});

describe("close", () => {
  it("refuses new calls at once", async () => {
    const { cluster } = createCluster();
    const closing = cluster.close();
    expect(cluster.closed).toBe(true);
    await expect(cluster.call(() => 1)).rejects.toMatchObject({
      code: "ERR_CLOSED",
      service: "orders",
      message: "orders: the cluster is closed",
    });
    await closing;
  });

  it("waits for calls under way, retries included, and then lets everything go", async () => {
    const { cluster, clock, settled } = createCluster();
    const call = cluster.call(
      async ({ attempt }) => {
        await new Promise<void>((resolve) => {
          clock.schedule(resolve, 100);
        });
        if (attempt === 1) throw Object.assign(new Error("no"), { code: "ECONNRESET" });
        return attempt;
      },
      { idempotent: true },
    );
    await clock.advanceAsync(50);
    const closing = cluster.close();
    expect(await settled(closing)).toBe("pending");
    await clock.advanceAsync(200);
    expect(await call).toBe(2);
    expect(await settled(closing)).toBe("resolved");
    expect(clock.pendingTimers).toBe(0);
  });

  it("lets a call that waits for discovery have its nodes still", async () => {
    const source = createSource();
    const { cluster, clock, settled } = createCluster({ discovery: source.discovery });
    const call = cluster.call(({ node }) => node.key);
    await clock.advanceAsync(10);
    const closing = cluster.close();
    source.push(a);
    expect(await settled(call)).toBe("resolved");
    expect(await settled(closing)).toBe("resolved");
    expect(source.released).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("may be called again, and disposes", async () => {
    const { cluster } = createCluster();
    await Promise.all([cluster.close(), cluster.close()]);
    await cluster.close();
    cluster.destroy();
    {
      await using scoped = createCluster().cluster;
      expect(scoped.closed).toBe(false);
    }
  });

  it("releases the source", async () => {
    const source = createSource();
    const { cluster, clock } = createCluster({ discovery: source.discovery });
    source.push(a);
    await clock.advanceAsync(0);
    await cluster.close();
    expect(source.released).toBe(1);
    source.push(a, b);
    await clock.advanceAsync(10_000);
    expect(cluster.nodes).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("destroy", () => {
  it("ends calls at once, with ERR_CLOSED or what it is given", async () => {
    for (const error of [undefined, new Error("shutting down")]) {
      const { cluster, clock, settled } = createCluster();
      const signals: AbortSignal[] = [];
      const call = cluster.call(({ signal }) => {
        signals.push(signal);
        return hang();
      });
      await clock.advanceAsync(10);
      cluster.destroy(error);
      expect(await settled(call)).toEqual(
        error ??
          expect.objectContaining({ code: "ERR_CLOSED", message: "orders: the cluster was destroyed" }),
      );
      expect(signals[0]?.aborted).toBe(true);
      expect(cluster.nodes.map(({ inflight, failures }) => [inflight, failures])).toEqual([
        [0, 0],
        [0, 0],
      ]);
      expect(clock.pendingTimers).toBe(0);
      await expect(cluster.call(() => 1)).rejects.toMatchObject({ code: "ERR_CLOSED" });
    }
  });

  it("ends a close that waits", async () => {
    const { cluster, settled } = createCluster();
    const call = cluster.call(hang);
    const closing = cluster.close();
    expect(await settled(closing)).toBe("pending");
    cluster.destroy();
    expect(await settled(call)).toMatchObject({ code: "ERR_CLOSED" });
    expect(await settled(closing)).toBe("resolved");
  });

  it("ends calls that wait for discovery", async () => {
    const { cluster, clock, settled } = createCluster({ discovery: createSource().discovery });
    const call = cluster.call(() => 1);
    await clock.advanceAsync(0);
    cluster.destroy();
    expect(await settled(call)).toMatchObject({ code: "ERR_CLOSED" });
    expect(clock.pendingTimers).toBe(0);
    expect(cluster.waiting.size).toBe(0);
  });

  it("leaves no drain timer of a removed node", async () => {
    const nodes = list([a, b]);
    const { cluster, clock } = createCluster({ discovery: nodes });
    void cluster.call(hang).catch(() => {});
    await clock.advanceAsync(0);
    nodes.set([b]);
    cluster.destroy();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("what it says of itself when it is asked", () => {
  it("is its nodes, its discovery and its connections, as long as it lives", async () => {
    const source = createSource();
    const { cluster, clock } = createCluster({ discovery: source.discovery });
    await clock.advanceAsync(3_000);
    expect(collect()).toMatchObject([
      { service: "orders", nodes: [], discoveryAgeMs: 3_000, failingOpen: false },
    ]);
    source.push(a, b);
    await clock.advanceAsync(1_000);
    const counts = { open: 3, idle: 2, connecting: 1, waiting: 4 };
    cluster.connectionCounters.add((node) => (node.key === a ? counts : undefined));
    cluster.connectionCounters.add(() => ({ open: 1, idle: 0, connecting: 0, waiting: 0 }));
    expect(collect()).toEqual([
      {
        service: "orders",
        nodes: cluster.nodes,
        failingOpen: false,
        discovery: { state: "fresh", staleSince: undefined },
        discoveryAgeMs: 0,
        connections: new Map([
          [a, { ...counts, open: 4 }],
          [b, { open: 1, idle: 0, connecting: 0, waiting: 0 }],
        ]),
      },
    ]);
    source.fail(new Error("the registry is gone"));
    await clock.advanceAsync(7_000);
    expect(collect()).toMatchObject([{ discovery: { state: "stale" }, discoveryAgeMs: 7_000 }]);
    cluster.destroy();
    expect(collect()).toEqual([]);
  });

  it("is asked of every live cluster, and of none that is closed", async () => {
    const { cluster } = createCluster({ name: "users" });
    createCluster();
    expect(collect().map(({ service }) => service)).toEqual(["users", "orders"]);
    await cluster.close();
    expect(collect().map(({ service }) => service)).toEqual(["orders"]);
  });
});
