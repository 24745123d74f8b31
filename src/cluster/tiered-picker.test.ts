/** Tests of tiers and views at work in a cluster: who gets which share, and who is left for a second try. */
import { describe, expect, it } from "vitest";
import type { Endpoint } from "../core/endpoint.ts";
import { createSeededRandom } from "../core/random.ts";
import { list } from "../discovery/list.ts";
import { random } from "../policy/random.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Cluster } from "./cluster.ts";
import type { ClusterOptions } from "./options.ts";

function createCluster(endpoints: readonly Endpoint[], options: Partial<ClusterOptions> = {}): Cluster {
  return new Cluster({
    name: "orders",
    discovery: endpoints,
    policy: random({ random: createSeededRandom(1) }),
    clock: new ManualClock(),
    random: createSeededRandom(2),
    ...options,
  });
}

const address = (host: number) => `http://10.0.0.${host}`;

/** How many of `count` calls went where, by zone or priority. */
async function countBy(
  cluster: Pick<Cluster, "call">,
  count: number,
  keyOf: (endpoint: { readonly zone: string | undefined; readonly priority: number }) => string,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let call = 0; call < count; call++) {
    await cluster.call(({ node }) => {
      const key = keyOf(node.endpoint);
      counts[key] = (counts[key] ?? 0) + 1;
    });
  }
  return counts;
}

describe("priorities", () => {
  const endpoints = [0, 0, 1, 1].map((priority, index) => ({ address: address(index), priority }));

  it("go to the first tier, and to the next when that is drained", async () => {
    await using cluster = createCluster(endpoints);
    expect(await countBy(cluster, 100, ({ priority }) => String(priority))).toEqual({ "0": 100 });
    cluster.drain(address(0));
    cluster.drain(address(1));
    expect(await countBy(cluster, 100, ({ priority }) => String(priority))).toEqual({ "1": 100 });
  });

  it("share by what the first tier can still carry when nodes of it are out", async () => {
    await using cluster = createCluster(endpoints);
    await cluster
      .call(
        ({ node }) => {
          throw Object.assign(new Error("refused"), { code: "ECONNREFUSED", address: node.key });
        },
        { totalMs: 1_000 },
      )
      .catch(() => {});
    expect(cluster.nodes.filter(({ state }) => state === "down")).toHaveLength(1);
    // Half of the first tier is left: 1.4 / 2 of the calls. Four standard deviations of 1,000 draws are 58.
    const counts = await countBy(cluster, 1_000, ({ priority }) => String(priority));
    expect(Math.abs((counts["0"] ?? 0) - 700)).toBeLessThan(58);
    const shares = cluster.explain().nodes.map(({ probability }) => probability ?? 0);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1);
    expect(shares.slice(2)).toEqual([expect.closeTo(0.15), expect.closeTo(0.15)]);
  });

  it("leave the next tier for a call that has tried all of the first", async () => {
    await using cluster = createCluster(
      [0, 1].map((priority) => ({ address: address(priority), priority })),
      { retry: { backoffMs: 0 } },
    );
    const tried: string[] = [];
    const answer = await cluster.call(
      ({ node }) => {
        tried.push(node.key);
        if (node.endpoint.priority === 0) throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
        return "answer";
      },
      { idempotent: true },
    );
    expect([answer, tried]).toEqual(["answer", [address(0), address(1)]]);
  });
});

describe("zones", () => {
  const endpoints = ["a", "a", "b", "b"].map((zone, index) => ({ address: address(index), zone }));

  it("keep calls in the caller's own zone, and take turns within it", async () => {
    await using cluster = createCluster(endpoints, { zone: "a", policy: roundRobin() });
    const counts: Record<string, number> = {};
    for (let call = 0; call < 10; call++) {
      await cluster.call(({ node }) => {
        counts[node.key] = (counts[node.key] ?? 0) + 1;
      });
    }
    expect(counts).toEqual({ [address(0)]: 5, [address(1)]: 5 });
  });

  it("spill over in proportion when the own zone loses capacity", async () => {
    await using cluster = createCluster(endpoints, { zone: "a" });
    cluster.drain(address(0));
    // A third of the capacity for half of the callers: two thirds stay. Four standard deviations are 60.
    const counts = await countBy(cluster, 1_000, ({ zone }) => zone ?? "");
    expect(Math.abs((counts.a ?? 0) - 667)).toBeLessThan(60);
  });

  it("are those of the view for its calls, also after a change of the set", async () => {
    const source = list(endpoints);
    await using cluster = createCluster([], { discovery: source, zone: "a" });
    const view = cluster.with({ zone: "b" });
    expect(await countBy(view, 50, ({ zone }) => zone ?? "")).toEqual({ b: 50 });
    source.add({ address: address(9), zone: "b" });
    expect(await countBy(view, 50, ({ zone }) => zone ?? "")).toEqual({ b: 50 });
    // Zone a now has two fifths of the capacity for half of the callers.
    const counts = await countBy(cluster, 50, ({ zone }) => zone ?? "");
    expect(counts.a).toBeGreaterThan(counts.b ?? 0);
  });
});

describe("views", () => {
  it("change only what they name, and a view of a view changes that", async () => {
    await using cluster = createCluster([{ address: address(1) }], { retry: { backoffMs: 0 } });
    const attemptsOf = async (target: Pick<Cluster, "call">) => {
      let attempts = 0;
      const failing = target.call(
        () => {
          attempts++;
          throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
        },
        { idempotent: true },
      );
      await expect(failing).rejects.toThrow("ECONNRESET");
      return attempts;
    };
    const once = cluster.with({ retry: false });
    expect(await attemptsOf(cluster)).toBe(3);
    expect(await attemptsOf(once)).toBe(1);
    expect(await attemptsOf(once.with({ retry: { attempts: 2 } }))).toBe(2);
  });

  it("tell policies how much their calls matter", async () => {
    const told: unknown[] = [];
    const plain = roundRobin();
    await using cluster = createCluster([{ address: address(1) }], {
      policy: {
        name: "told",
        build(nodes) {
          const picker = plain.build(nodes);
          return {
            pick(call) {
              told.push(call.priority);
              return picker.pick(call);
            },
          };
        },
      },
    });
    await cluster.call(() => "answer");
    await cluster.with({ priority: "sheddable" }).call(() => "answer");
    expect(told).toEqual(["default", "sheddable"]);
    expect(() => cluster.with({ priority: "low" } as object)).toThrow('with.priority must be "critical" or');
  });

  it("refuse what they do not know, with the path and a suggestion", async () => {
    await using cluster = createCluster([{ address: address(1) }]);
    expect(() => cluster.with({ atemptMs: 5 } as object)).toThrow(
      'unknown option with.atemptMs (5); did you mean "attemptMs"?',
    );
    expect(() => cluster.with({ attemptMs: 0 })).toThrow("with.attemptMs must be a number from 1");
    expect(() => cluster.with({ retry: { budget: false } as object })).toThrow("unknown option retry.budget");
  });
});

describe("a shadow", () => {
  it("picks along without a call being sent, and tells how often it would differ", async () => {
    await using cluster = createCluster([{ address: address(1) }, { address: address(2) }], {
      policy: roundRobin({ random: () => 0 }),
      shadow: random({ random: createSeededRandom(3) }),
    });
    expect(cluster.explain().policy).toBe("roundRobin");
    await countBy(cluster, 1_000, () => "");
    expect(cluster.nodes.map(({ calls }) => calls)).toEqual([500, 500]);
    const report = cluster.shadowReport;
    // Two nodes by chance against taking turns: half differ. Four standard deviations of 1,000 are 63.
    expect(report?.picks).toBe(1_000);
    expect(Math.abs((report?.differing ?? 0) - 500)).toBeLessThan(63);
  });

  it("is not there unless asked for", async () => {
    await using cluster = createCluster([{ address: address(1) }]);
    expect(cluster.shadowReport).toBeUndefined();
  });
});

describe("a policy that keeps averages of its own", () => {
  it("is told of good answers and of failures, with their times", async () => {
    const told: string[] = [];
    const plain = roundRobin();
    await using cluster = createCluster([{ address: address(1) }], {
      retry: false,
      policy: {
        name: "told",
        build: (nodes, previous) => plain.build(nodes, previous),
        observe: (node, latencyMs, outcome) => told.push(`${node.key} ${outcome.kind} ${latencyMs}`),
      },
    });
    await cluster.call(() => "answer");
    await cluster
      .call(() => Promise.reject(Object.assign(new Error("reset"), { code: "ECONNRESET" })))
      .catch(() => {});
    expect(told).toEqual([`${address(1)} success 0`, `${address(1)} failure 0`]);
  });
});
