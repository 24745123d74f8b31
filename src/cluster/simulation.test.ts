/**
 * Many calls at once in virtual time, over nodes that fail, hang, come and go by seeded chance: what must hold
 * for each call and each node whatever happens.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { BalancerError } from "../core/errors.ts";
import type { RetryEvent } from "../core/events.ts";
import type { CheckResult, HealthCheck } from "../core/health-check.ts";
import type { Node } from "../core/node.ts";
import { createSeededRandom, type Random } from "../core/random.ts";
import { list } from "../discovery/list.ts";
import { leastCost } from "../policy/least-cost.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Cluster } from "./cluster.ts";
import type { NodeAttempt } from "./function-call.ts";

const releases: (() => void)[] = [];
afterEach(() => {
  for (const release of releases.splice(0)) release();
});

/** How a node behaves; drawn anew now and then. */
interface Behaviour {
  readonly kind: "good" | "slow" | "refuses" | "resets" | "answers 503" | "hangs" | "starves us";
  readonly ms: number;
}

const kinds = [
  "good",
  "good",
  "good",
  "slow",
  "refuses",
  "resets",
  "answers 503",
  "hangs",
  "starves us",
] as const;

interface OpenAttempt {
  readonly key: string;
  readonly at: number;
  /** Begun because every node was out. */
  readonly failingOpen: boolean;
}

interface Report {
  /** How often each call's promise settled. */
  readonly settled: readonly number[];
  readonly attempts: number;
  readonly retries: number;
  readonly failed: readonly unknown[];
  /** Attempts that took a node the call had tried, while another one could have been called. */
  readonly repeated: readonly string[];
  /** Attempts that took a second call to a half-open node. */
  readonly crowded: readonly string[];
  /** Nodes that were called though their check failed, while others were left. */
  readonly barred: readonly string[];
  readonly negative: number;
  readonly cluster: Cluster;
  readonly clock: ManualClock;
}

async function simulate(seed: number, calls: number): Promise<Report> {
  const random = createSeededRandom(seed);
  const clock = new ManualClock(1_000);
  const keys = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, index) => `http://n${index}`);
  const nodes = list(keys);
  const reports = new Map<string, (result: CheckResult) => void>();
  const check: HealthCheck = {
    name: "drawn",
    watch({ address }, report) {
      reports.set(address.text, report);
      return { [Symbol.dispose]: () => reports.delete(address.text) };
    },
  };
  const cluster = new Cluster({
    name: `simulation-${seed}`,
    discovery: nodes,
    clock,
    random,
    policy: leastCost({ random }),
    timeouts: { attemptMs: 200, totalMs: 1_000 },
    retry: { attempts: 1 + Math.floor(random() * 5), backoffMs: 10 },
    health: { failOpen: random() < 0.8, ...(random() < 0.5 ? { check } : {}) },
    connections: { drainMs: 500 },
  });
  let retries = 0;
  const onRetry = (event: unknown) => {
    if ((event as RetryEvent).service === cluster.name) retries++;
  };
  subscribe("evenkeel:retry", onRetry);
  releases.push(() => unsubscribe("evenkeel:retry", onRetry));

  const behaviours = new Map(keys.map((key) => [key, drawBehaviour(random)]));
  const settled: number[] = [];
  const failed: unknown[] = [];
  const repeated: string[] = [];
  const crowded: string[] = [];
  const barred: string[] = [];
  const open = new Set<OpenAttempt>();
  let attempts = 0;
  let negative = 0;

  for (let call = 0; call < calls; call++) {
    const tried = new Set<Node>();
    const controller = new AbortController();
    settled.push(0);
    const send = (attempt: NodeAttempt): Promise<unknown> => {
      attempts++;
      const { node } = attempt;
      const { key, health } = node;
      const { callable, failingOpen } = cluster.nodeSet;
      if (tried.has(node) && callable.some((other) => !tried.has(other))) repeated.push(key);
      // All were tried: from here on the round begins again.
      if (tried.has(node)) tried.clear();
      if (behaviours.get(key)?.kind !== "starves us") tried.add(node);
      if (node.check.kind === "failing" && !failingOpen) barred.push(key);
      if (health.kind === "probing" && !failingOpen) {
        const isTrial = (other: OpenAttempt) =>
          other.key === key && !other.failingOpen && other.at >= health.since;
        if (Array.from(open).some(isTrial)) crowded.push(key);
      }
      const entry: OpenAttempt = { key, at: clock.now(), failingOpen };
      open.add(entry);
      attempt.signal.addEventListener("abort", () => open.delete(entry));
      const answer = behave(behaviours.get(key) as Behaviour, attempt, clock);
      return answer.finally(() => open.delete(entry));
    };
    const count = () => {
      settled[call] = (settled[call] as number) + 1;
    };
    cluster
      .call(send, { idempotent: random() < 0.8, signal: controller.signal })
      .then(count, (error: unknown) => {
        count();
        failed.push(error);
      });
    if (random() < 0.1) clock.schedule(() => controller.abort(new Error("given up")), random() * 100);
    if (random() < 0.05) behaviours.set(draw(keys, random), drawBehaviour(random));
    if (random() < 0.1) reports.get(draw(keys, random))?.({ healthy: random() < 0.6, detail: "drawn" });
    if (random() < 0.02) nodes.set(keys.filter(() => random() < 0.7));
    if (random() < 0.02) (random() < 0.5 ? cluster.drain : cluster.undrain).call(cluster, draw(keys, random));
    if (random() < 0.01) clock.block(random() * 1_000);
    await clock.advanceAsync(random() * 10);
    for (const { inflight } of cluster.nodes) if (inflight < 0) negative++;
  }
  await clock.advanceAsync(5_000);
  return { settled, attempts, retries, failed, repeated, crowded, barred, negative, cluster, clock };
}

function draw<T>(from: readonly T[], random: Random): T {
  return from[Math.floor(random() * from.length)] as T;
}

function drawBehaviour(random: Random): Behaviour {
  return { kind: draw(kinds, random), ms: random() * 30 };
}

function behave(
  { kind, ms }: Behaviour,
  { signal, node }: NodeAttempt,
  clock: ManualClock,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (code: string) => reject(Object.assign(new Error(code), { code }));
    const timer = clock.schedule(
      () => {
        if (kind === "good" || kind === "slow") resolve(node.key);
        else if (kind === "answers 503") resolve({ status: 503 });
        else if (kind === "refuses") fail("ECONNREFUSED");
        else if (kind === "starves us") fail("EMFILE");
        else if (kind === "resets") fail("ECONNRESET");
      },
      kind === "slow" ? 10 * ms : kind === "refuses" ? 0 : ms,
    );
    signal.addEventListener("abort", () => {
      timer.cancel();
      reject(signal.reason);
    });
  });
}

describe("many calls over nodes that come, go, hang and fail", () => {
  it("each end once, count out of every node, and retry within their rights", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const report = await simulate(seed, 120);
        expect(report.settled.every((times) => times === 1)).toBe(true);
        expect(report.attempts).toBeLessThanOrEqual(report.settled.length + report.retries);
        expect(report.repeated).toEqual([]);
        expect(report.crowded).toEqual([]);
        expect(report.barred).toEqual([]);
        expect(report.negative).toBe(0);
        const { cluster, clock } = report;
        expect(cluster.nodes.map(({ inflight }) => inflight)).toEqual(cluster.nodes.map(() => 0));
        expect(cluster.nodes.filter(({ reason }) => reason === "removed by discovery")).toEqual([]);
        expect(cluster.deadlines.size).toBe(0);
        expect(cluster.waiting.size).toBe(0);
        for (const error of report.failed) {
          const known = error instanceof BalancerError || (error as Error).message === "given up";
          expect(known).toBe(true);
        }
        await cluster.close();
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 100 },
    );
  }, 30_000);

  it("are spared the nodes' failures as long as half of the nodes are good", async () => {
    const clock = new ManualClock(1_000);
    const random = createSeededRandom(7);
    const keys = ["http://a", "http://b", "http://c", "http://d"];
    const bad = new Map<string, Behaviour>([
      ["http://a", { kind: "refuses", ms: 0 }],
      ["http://b", { kind: "answers 503", ms: 1 }],
    ]);
    const cluster = new Cluster({
      name: "half-good",
      discovery: keys,
      clock,
      random,
      policy: leastCost({ random }),
    });
    const share = new Map(keys.map((key) => [key, 0]));
    const results: unknown[] = [];
    for (let call = 0; call < 1_000; call++) {
      cluster
        .call(
          (attempt) => {
            const { key } = attempt.node;
            share.set(key, (share.get(key) ?? 0) + 1);
            return behave(bad.get(key) ?? { kind: "good", ms: 5 }, attempt, clock);
          },
          { idempotent: true },
        )
        .then(
          (result) => results.push(result),
          (error: unknown) => results.push(error),
        );
      await clock.advanceAsync(2);
    }
    await clock.advanceAsync(2_000);
    expect(results).toHaveLength(1_000);
    expect(results.filter((result) => result !== "http://c" && result !== "http://d")).toEqual([]);
    // In 2 s: one refused call and its trial, and five failures.
    expect(share.get("http://a")).toBeLessThanOrEqual(3);
    expect(share.get("http://b")).toBeLessThanOrEqual(10);
  }, 20_000);
});
