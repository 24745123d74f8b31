/** Tests which calls go out, wait or are refused, through whole calls in virtual time. */
import { AsyncLocalStorage } from "node:async_hooks";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { createSeededRandom } from "../core/random.ts";
import { CallContext, runInContext } from "../resilience/call-context.ts";
import { Harness, listen, releaseHarness, ScriptedCall } from "../testing/call-harness.ts";
import type { CallOptions, NodeAttempt } from "./function-call.ts";

afterEach(releaseHarness);

const get: CallOptions = { method: "GET", path: "/x" };

/** The codes of what the calls came to by now. */
function codesOf(calls: readonly { readonly ended: { readonly error?: unknown } | undefined }[]): string[] {
  return calls.map(({ ended }) => {
    if (ended === undefined) return "under way";
    return (ended.error as { code?: string } | undefined)?.code ?? "answered";
  });
}

function start(harness: Harness, count: number, ms = 100, options: CallOptions = get) {
  const send = (attempt: NodeAttempt) => harness.after(ms, attempt, () => 1);
  return Array.from({ length: count }, () => harness.call(send, options));
}

describe("limits.inflight", () => {
  it("refuses what is over it, at once and without a node", async () => {
    const rejects = listen("evenkeel:reject");
    const harness = new Harness({ limits: { inflight: 2 } });
    const calls = start(harness, 3);
    await harness.clock.advanceAsync(0);
    expect(codesOf(calls)).toEqual(["under way", "under way", "ERR_OVERLOADED"]);
    expect(rejects).toMatchObject([{ code: "ERR_OVERLOADED" }]);
    expect(harness.tried).toHaveLength(2);
    await harness.clock.advanceAsync(100);
    expect(codesOf(start(harness, 1))).toEqual(["under way"]);
  });

  it("has the rest wait for a place, the oldest first", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 2 } });
    const calls = start(harness, 4);
    await harness.clock.advanceAsync(0);
    expect(codesOf(calls)).toEqual(["under way", "under way", "under way", "ERR_OVERLOADED"]);
    expect(harness.cluster.admissionState).toEqual({ inflight: 1, queued: 2, limit: 1, shedding: 0 });
    await harness.clock.advanceAsync(300);
    expect(calls.slice(0, 3).map(({ ended }) => ended?.at)).toEqual([100, 200, 300]);
    expect(harness.cluster.admissionState).toMatchObject({ inflight: 0, queued: 0 });
  });

  it("gives the place to the most important, and pushes the least important out", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 2 } });
    const [first] = start(harness, 1);
    const [sheddable] = start(harness, 1, 100, { ...get, priority: "sheddable" });
    const [ordinary] = start(harness, 1);
    const [critical] = start(harness, 1, 100, { ...get, priority: "critical" });
    await harness.clock.advanceAsync(300);
    const all = [first, sheddable, ordinary, critical] as { ended: { error?: unknown } | undefined }[];
    expect(codesOf(all)).toEqual(["answered", "ERR_OVERLOADED", "answered", "answered"]);
    expect(critical?.ended?.at).toBe(200);
    expect(ordinary?.ended?.at).toBe(300);
  });

  it("keeps nobody waiting for longer than queueMs", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 5, queueMs: 50 } });
    const calls = start(harness, 2);
    await harness.clock.advanceAsync(60);
    expect(codesOf(calls)).toEqual(["under way", "ERR_OVERLOADED"]);
    expect(calls[1]?.ended?.at).toBeLessThanOrEqual(55);
  });

  it("keeps nobody waiting past his own time", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 5, queueMs: 5_000 } });
    const calls = [...start(harness, 1, 1_000), ...start(harness, 1, 10, { ...get, totalMs: 50 })];
    await harness.clock.advanceAsync(50);
    expect(codesOf(calls)).toEqual(["under way", "ERR_DEADLINE"]);
  });

  it("forgets a call that is given up while it waits", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 5 } });
    const controller = new AbortController();
    start(harness, 1);
    start(harness, 1, 10, { ...get, signal: controller.signal });
    controller.abort();
    expect(harness.cluster.admissionState).toMatchObject({ inflight: 1, queued: 0 });
    await harness.clock.advanceAsync(200);
    expect(harness.tried).toHaveLength(1);
  });

  it("lets a call run in the context of its own caller, whoever made room", async () => {
    const storage = new AsyncLocalStorage<string>();
    const harness = new Harness({ limits: { inflight: 1, queue: 5 } });
    const seen: (string | undefined)[] = [];
    const send = (attempt: NodeAttempt) => {
      seen.push(storage.getStore());
      return harness.after(10, attempt, () => 1);
    };
    storage.run("first", () => harness.call(send, get));
    storage.run("second", () => harness.call(send, get));
    await harness.clock.advanceAsync(50);
    expect(seen).toEqual(["first", "second"]);
  });

  it("ends with the cluster: those who wait are told", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 5 } });
    const calls = start(harness, 2);
    harness.cluster.destroy();
    await harness.clock.advanceAsync(1);
    expect(calls[1]?.ended?.error).toMatchObject({ code: "ERR_CLOSED" });
    expect(harness.clock.pendingTimers).toBe(0);
  });
});

describe("the end of a cluster", () => {
  it("sends none of those who wait, though those under way make room", () => {
    const { cluster } = new Harness({ limits: { inflight: 2, queue: 5 } });
    const calls = Array.from({ length: 5 }, () => ScriptedCall.start(cluster));
    cluster.destroy();
    expect(calls.map(({ sent }) => sent.length)).toEqual([1, 1, 0, 0, 0]);
    expect(calls.map(({ failed }) => failed.length)).toEqual([1, 1, 1, 1, 1]);
    expect(cluster.admissionState).toMatchObject({ inflight: 0, queued: 0 });
  });
});

describe("a rate limit that is shared", () => {
  it("is waited for by each call, which then waits for its place as any other", async () => {
    const answers: (() => void)[] = [];
    const ratePerSecond = { consume: () => new Promise<void>((resolve) => answers.push(resolve)) };
    const harness = new Harness({ limits: { inflight: 1, queue: 5, queueMs: 100, ratePerSecond } });
    const calls = start(harness, 2, 1_000);
    await harness.clock.advanceAsync(80);
    expect(harness.tried).toEqual([]);
    for (const answer of answers) answer();
    await harness.clock.advanceAsync(90);
    expect(harness.tried).toHaveLength(1);
    expect(harness.cluster.admissionState).toMatchObject({ inflight: 1, queued: 1 });
    await harness.clock.advanceAsync(20);
    expect(codesOf(calls)).toEqual(["under way", "ERR_OVERLOADED"]);
  });

  it("lets a call go that ends while it waits", async () => {
    const ratePerSecond = { consume: () => new Promise<void>(() => {}) };
    const harness = new Harness({ limits: { ratePerSecond } });
    const calls = start(harness, 1, 10, { ...get, totalMs: 50 });
    await harness.clock.advanceAsync(50);
    expect(codesOf(calls)).toEqual(["ERR_DEADLINE"]);
    const [other] = start(harness, 1);
    harness.cluster.destroy();
    await harness.clock.advanceAsync(0);
    expect(other?.ended?.error).toMatchObject({ code: "ERR_CLOSED" });
  });
});

describe("limits.ratePerSecond", () => {
  it("refuses what is over it", async () => {
    const harness = new Harness({ limits: { ratePerSecond: 10, burst: 3 } });
    const calls = start(harness, 5);
    await harness.clock.advanceAsync(0);
    expect(codesOf(calls).filter((code) => code === "ERR_RATE_LIMITED")).toHaveLength(2);
    await harness.clock.advanceAsync(100);
    expect(codesOf(start(harness, 2)).filter((code) => code === "under way")).toHaveLength(2);
    await harness.clock.advanceAsync(0);
    expect(harness.tried).toHaveLength(4);
  });
});

describe("the breaker", () => {
  it("refuses calls over its cap of calls under way", async () => {
    const harness = new Harness({ breaker: { inflight: 2 } });
    const calls = start(harness, 3);
    await harness.clock.advanceAsync(0);
    expect(codesOf(calls)).toEqual(["under way", "under way", "ERR_CIRCUIT_OPEN"]);
  });

  it("keeps to its cap where a shared rate limit has calls wait first", async () => {
    const answers: (() => void)[] = [];
    const ratePerSecond = { consume: () => new Promise<void>((resolve) => answers.push(resolve)) };
    const harness = new Harness({ breaker: { inflight: 2 }, limits: { ratePerSecond } });
    const calls = start(harness, 4, 1_000);
    for (const answer of answers) answer();
    await harness.clock.advanceAsync(0);
    expect(harness.tried).toHaveLength(2);
    expect(codesOf(calls).filter((code) => code === "ERR_CIRCUIT_OPEN")).toHaveLength(2);
  });

  it("refuses calls while too many wait", async () => {
    const harness = new Harness({ limits: { inflight: 1, queue: 10 }, breaker: { queued: 2 } });
    const calls = start(harness, 5);
    await harness.clock.advanceAsync(0);
    expect(codesOf(calls).slice(3)).toEqual(["ERR_CIRCUIT_OPEN", "ERR_CIRCUIT_OPEN"]);
  });

  it("allows no more retries at once than its cap", async () => {
    const harness = new Harness({ breaker: { retries: 1, rate: false } });
    for (let index = 0; index < 5; index++) {
      harness.call(
        (attempt) => (attempt.attempt === 1 ? Promise.reject(new Error("broken")) : harness.hang()),
        get,
      );
    }
    await harness.clock.advanceAsync(100);
    expect(harness.tried).toHaveLength(6);
  });

  it("sheds while calls hang, before one of them has ended, and lets go when they are answered", async () => {
    const harness = new Harness({ breaker: true, retry: false, random: createSeededRandom(1) });
    const drive = async (seconds: number, ms: number) => {
      const calls: ReturnType<typeof start> = [];
      for (let tick = 0; tick < seconds * 100; tick++) {
        calls.push(...start(harness, 1, ms));
        await harness.clock.advanceAsync(10);
      }
      return codesOf(calls);
    };
    expect(await drive(5, 5)).not.toContain("ERR_CIRCUIT_OPEN");
    const hung = await drive(4, 20_000);
    expect(hung).not.toContain("answered");
    const late = hung.slice(300);
    expect(late.filter((code) => code === "ERR_CIRCUIT_OPEN").length).toBeGreaterThan(0.8 * late.length);
    expect(harness.cluster.admissionState?.shedding).toBeGreaterThan(0.8);
    await drive(3, 5);
    expect(await drive(2, 5)).not.toContain("ERR_CIRCUIT_OPEN");
  });

  it("is not moved by deadlines that leave a service less time than it takes", async () => {
    const harness = new Harness({ breaker: true, retry: false });
    for (let index = 0; index < 300; index++) {
      const isHurried = index % 5 > 0;
      // One in 50 is quick, so that it is not known beforehand that there is too little time.
      const send = (attempt: NodeAttempt) => harness.after(index % 50 === 5 ? 2 : 40, attempt, () => 1);
      const endsAt = harness.clock.now() + (isHurried ? 20 : 10_000);
      runInContext(new CallContext({ endsAt, clock: harness.clock }), () => harness.call(send, get));
      await harness.clock.advanceAsync(5);
    }
    expect(harness.cluster.admissionState?.shedding).toBe(0);
  });

  it("is not moved by failures that a service only passes on", async () => {
    const harness = new Harness({ breaker: true });
    const answer = { status: 503, headers: { "evenkeel-retry": "no" } };
    for (let index = 0; index < 200; index++) {
      harness.call(() => answer, get);
      await harness.clock.advanceAsync(5);
    }
    expect(harness.cluster.admissionState?.shedding).toBe(0);
  });

  it("takes a long body for no hang", async () => {
    const { cluster, clock } = new Harness({ breaker: true, random: createSeededRandom(1) });
    const calls: ScriptedCall[] = [];
    for (let index = 0; index < 100; index++) {
      const call = ScriptedCall.start(cluster);
      calls.push(call);
      clock.advance(5);
      call.headers(true, true);
    }
    clock.advance(1_000);
    expect(cluster.admissionState?.shedding).toBe(0);
    expect(calls.every(({ failed }) => failed.length === 0)).toBe(true);
  });
});

describe("whatever happens", () => {
  it("each call ends once, no place is lost, and never more are under way than there are places", async () => {
    const step = fc.record({
      gapMs: fc.integer({ min: 0, max: 20 }),
      takesMs: fc.integer({ min: 0, max: 120 }),
      fails: fc.boolean(),
      abortsAfterMs: fc.option(fc.integer({ min: 0, max: 60 })),
      priority: fc.constantFrom("critical", "default", "sheddable" as const),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 0, max: 4 }),
        async (steps, inflight, queue) => {
          const harness = new Harness({
            limits: { inflight, queue, queueMs: 40 },
            breaker: { rate: { minimumCalls: 5 } },
            hedge: { afterMs: 30 },
            timeouts: { attemptMs: 80, totalMs: 100 },
            random: createSeededRandom(steps.length),
          });
          const { admission } = harness.cluster;
          const calls = [];
          for (const { gapMs, takesMs, fails, abortsAfterMs, priority } of steps) {
            const controller = new AbortController();
            const signal = controller.signal;
            const send = (attempt: NodeAttempt) =>
              harness.after(takesMs, attempt, () => (fails ? { status: 503 } : { status: 200 }));
            // The harness fails when a call ends twice.
            calls.push(harness.call(send, { ...get, priority: priority as "default", signal }));
            if (abortsAfterMs !== null) harness.clock.schedule(() => controller.abort(), abortsAfterMs);
            expect(admission?.view(harness.clock.now()).inflight).toBeLessThanOrEqual(inflight);
            await harness.clock.advanceAsync(gapMs);
          }
          await harness.clock.advanceAsync(1_000);
          expect(calls.filter(({ ended }) => ended === undefined)).toEqual([]);
          expect(admission?.view(harness.clock.now())).toMatchObject({ inflight: 0, queued: 0 });
          expect(harness.cluster.nodes.every((node) => node.inflight === 0)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
