/** Fault 11: callers give up at any moment: before anything was sent, while connecting, waiting, reading. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createSeededRandom } from "../../src/core/random.ts";
import { Balancer, roundRobin } from "../../src/index.ts";
import { startBackend } from "../../src/testing/backend.ts";
import { DeafListener } from "../support/deaf-listener.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { Recorder } from "../support/recorder.ts";

const aborts = 10_000;
const atOnce = 100;
/** Longer than any call is left alone: what ends, ends by its abort. */
const forever = 3_600_000;

type Stage = "before the call" | "before the headers" | "in the body";

test("10,000 random aborts leave no call counted as in flight", async () => {
  const reading = await startBackend({ workMs: 0, body: "x".repeat(2_000), bodyMs: forever });
  const waiting = await startBackend({ workMs: forever, workers: 1_000_000 });
  const good = await startBackend({ workMs: 0 });
  await using connecting = await DeafListener.start();
  using recorder = new Recorder("aborts");
  const discovery = [reading, waiting, connecting, good].map(({ address }) => address);
  const balancer = new Balancer({
    name: "aborts",
    discovery,
    policy: roundRobin(),
    // A connection that takes longer would be the node's failure, and that of all calls that wait for it.
    timeouts: { connectMs: 60_000 },
  });
  let open = 0;
  balancer.on("connect", () => {
    open++;
  });
  balancer.on("disconnect", () => {
    open--;
  });

  const random = createSeededRandom(11);
  const stages = new Map<Stage, number>();
  const lateMs: number[] = [];
  const unexpected: unknown[] = [];
  let answered = 0;

  /** One call that is aborted after a random time. Its abort is what must end it, and soon. */
  async function callAndAbort(index: number): Promise<void> {
    const controller = new AbortController();
    const reason = new Error(`abort ${index}`);
    let abortedAt = 0;
    const abort = (): void => {
      abortedAt = performance.now();
      controller.abort(reason);
    };
    let stage: Stage = "before the call";
    if (index % 20 === 0) abort();
    else setTimeout(abort, random() * 40);
    const { signal } = controller;
    if (!signal.aborted) stage = "before the headers";
    try {
      if (index % 10 === 7) {
        await balancer.cluster.call((attempt) => sleep(forever, undefined, { signal: attempt.signal }), {
          signal,
        });
      } else if (index % 4 === 3) {
        const response = await balancer.fetch("/", { signal });
        stage = "in the body";
        await response.text();
      } else {
        const { body } = await balancer.request({ path: "/", method: "GET", signal });
        stage = "in the body";
        await body.text();
      }
      answered++;
    } catch (error) {
      if (error === reason) {
        lateMs.push(performance.now() - abortedAt);
        stages.set(stage, (stages.get(stage) ?? 0) + 1);
      } else unexpected.push(error);
    }
  }

  try {
    await balancer.ready();
    let next = 0;
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        while (lateMs.length < aborts && unexpected.length === 0) await callAndAbort(next++);
      }),
    );
    await sleep(100);
    const inflight = balancer.nodes.map((node) => node.inflight);
    const deadlines = balancer.cluster.deadlines.size;
    const ignored = (address: string): number =>
      recorder.endsOn(address).filter(({ reason }) => reason === "aborted").length;
    const blamed = recorder.ends.filter(({ outcome }) => outcome === "failure");
    const starts = recorder.starts.length;
    const ends = recorder.ends.length;

    // Whoever calls now finds nothing in his way.
    for (const { address } of [reading, waiting, connecting]) balancer.drain(address);
    let failedAfter = 0;
    for (let call = 0; call < 200; call++) {
      const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
      await body.text();
      if (statusCode !== 200) failedAfter++;
    }
    const closingAt = performance.now();
    await balancer.close();
    const closedMs = performance.now() - closingAt;
    await sleep(100);

    printFigure(
      "11 aborts",
      `calls in flight by node after ${count(lateMs.length)} aborts: ${inflight.join(" ")} (pass: 0)`,
      Array.from(stages, ([stage, times]) => `${count(times)} ${stage}`).join(", "),
      `while connecting ${count(ignored(connecting.address))}`,
      `attempts begun and not ended: ${starts - ends} (pass: 0)`,
      `deadlines left: ${deadlines} (pass: 0)`,
      `attempts held against nodes: ${blamed.length} (pass: 0)`,
      `heard of ${ms(percentile(lateMs, 0.99))} (p99) after the abort`,
      `${count(answered)} calls were answered before`,
      `failed afterwards: ${failedAfter} of 200 (pass: 0)`,
      `closed in ${ms(closedMs)}, connections left: ${open} (pass: 0)`,
    );
    expect(unexpected).toEqual([]);
    expect(lateMs.length).toBeGreaterThanOrEqual(aborts);
    expect(inflight).toEqual([0, 0, 0, 0]);
    expect(deadlines).toBe(0);
    expect(ends).toBe(starts);
    expect(blamed).toEqual([]);
    expect(stages.get("before the call")).toBeGreaterThan(100);
    expect(stages.get("before the headers")).toBeGreaterThan(1_000);
    expect(stages.get("in the body")).toBeGreaterThan(200);
    expect(ignored(connecting.address)).toBeGreaterThan(1_000);
    // At once, but for what the machine itself takes for so many calls.
    expect(percentile(lateMs, 0.99)).toBeLessThanOrEqual(100);
    expect(failedAfter).toBe(0);
    expect(closedMs).toBeLessThanOrEqual(5_000);
    expect(open).toBe(0);
  } finally {
    await balancer.destroy();
    await Promise.all([reading, waiting, good].map((backend) => backend.kill()));
  }
});
