/**
 * Tests that the adaptive limit finds what the other side can serve at once, keeps the queue short, and is misled neither
 * by a lasting overload nor by calls that become slower for other reasons.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSeededRandom } from "../core/random.ts";
import { drawExponential, exponential } from "../testing/simulation/chance.ts";
import { EventClock } from "../testing/simulation/event-clock.ts";
import type { Demand } from "../testing/simulation/server.ts";
import { WorkerServer } from "../testing/simulation/worker-server.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";

interface Scenario {
  readonly workers: number;
  readonly demand: Demand;
  /** Calls that come, those that find no room included. */
  readonly perSecond: (now: number) => number;
  readonly initial?: number;
  readonly max?: number;
  readonly seed?: number;
  readonly failing?: number;
  /** After which a call is given up; the server works on it all the same. */
  readonly deadlineMs?: number;
}

/** Calls by chance, a limit, and a server behind it. What finds no room is gone: there is no queue before the limit. */
class Overload {
  readonly clock: EventClock = new EventClock();
  readonly limit: AdaptiveLimit;
  readonly server: WorkerServer;
  came = 0;
  refused = 0;
  succeeded = 0;
  highest = 0;

  constructor(scenario: Scenario) {
    const { workers, demand, perSecond, initial = 100, max = 1_000, seed = 1 } = scenario;
    const { failing = 0, deadlineMs = Number.POSITIVE_INFINITY } = scenario;
    const { clock } = this;
    const random = createSeededRandom(seed);
    this.limit = new AdaptiveLimit({ min: 1, max, initial });
    this.server = new WorkerServer(workers, demand, clock, random);
    const arrive = () => {
      const beganAt = clock.now();
      this.came++;
      if (this.limit.begin(beganAt)) {
        let isOver = false;
        const end = () => {
          if (isOver) return;
          isOver = true;
          const latencyMs = clock.now() - beganAt;
          const isGood = latencyMs < deadlineMs && random() >= failing;
          if (isGood) this.succeeded++;
          this.limit.end(isGood ? "success" : "failure", latencyMs, clock.now());
        };
        this.server.call(end);
        if (deadlineMs < Number.POSITIVE_INFINITY) clock.schedule(end, deadlineMs);
      } else this.refused++;
      this.highest = Math.max(this.highest, this.limit.limit);
      clock.schedule(arrive, drawExponential(1_000 / perSecond(beganAt), random));
    };
    clock.schedule(arrive, 0);
  }

  /** What happened from one time to the other. */
  measure(fromMs: number, toMs: number) {
    this.clock.runUntil(fromMs);
    const before = { ...this, waitedMs: this.server.waitedMs, begun: this.server.begun };
    this.clock.runUntil(toMs);
    const begun = this.server.begun - before.begun;
    return {
      goodPerSecond: ((this.succeeded - before.succeeded) / (toMs - fromMs)) * 1_000,
      refusedShare: (this.refused - before.refused) / (this.came - before.came),
      waitMs: begun === 0 ? 0 : (this.server.waitedMs - before.waitedMs) / begun,
    };
  }
}

const minuteMs = 60_000;
const constant =
  (ms: number): Demand =>
  () =>
    ms;

describe("AdaptiveLimit after ten minutes of three times what can be served", () => {
  // The more workers the longer the work, that ten minutes are not millions of calls.
  const servers = [
    [1, 20],
    [4, 20],
    [20, 200],
    [100, 500],
  ] as const;
  const cases = servers.flatMap(([workers, workMs]) =>
    (["exponential", "constant"] as const).map((times) => ({ workers, workMs, times })),
  );

  it.each(cases)(
    "keeps workers busy and the queue short: $workers of them, $times times",
    ({ workers, workMs, times }) => {
      for (const seed of [1, 2, 3]) {
        const capacity = (workers * 1_000) / workMs;
        const demand = times === "constant" ? constant(workMs) : exponential(workMs);
        const overload = new Overload({ workers, demand, perSecond: () => 3 * capacity, seed });
        const { goodPerSecond, waitMs } = overload.measure(5 * minuteMs, 10 * minuteMs);
        expect(goodPerSecond / capacity).toBeGreaterThan(0.95);
        expect(waitMs / workMs).toBeLessThan(2);
        expect(overload.highest).toBeLessThan(3 * workers + 140);
      }
    },
  );

  it("comes down from a limit that is far too high within a few minutes", () => {
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      const demand = exponential(50);
      const overload = new Overload({ workers: 4, demand, perSecond: () => 240, initial: 500, seed });
      const { goodPerSecond, waitMs } = overload.measure(4 * minuteMs, 8 * minuteMs);
      expect(goodPerSecond / 80).toBeGreaterThan(0.95);
      expect(waitMs / 50).toBeLessThan(2);
    }
  });

  it("stays within its bounds", () => {
    const overload = new Overload({ workers: 1e6, demand: constant(10), perSecond: () => 10_000, max: 50 });
    overload.measure(0, minuteMs / 2);
    expect(overload.limit.limit).toBe(50);
    expect(overload.highest).toBe(50);
  });
});

describe("AdaptiveLimit when the overload ends", () => {
  it("refuses none at once", () => {
    const perSecond = (now: number) => (now < minuteMs ? 1_200 : 280);
    const overload = new Overload({ workers: 20, demand: exponential(50), perSecond });
    expect(overload.measure(minuteMs / 2, minuteMs).refusedShare).toBeGreaterThan(0.6);
    expect(overload.measure(minuteMs + 1_000, 3 * minuteMs).refusedShare).toBeLessThan(0.01);
  });

  it("follows a server that grows and shrinks", () => {
    const overload = new Overload({ workers: 20, demand: exponential(50), perSecond: () => 2_400 });
    overload.measure(0, minuteMs);
    overload.server.workers = 40;
    expect(overload.measure(1.5 * minuteMs, 3 * minuteMs).goodPerSecond).toBeGreaterThan(0.93 * 800);
    overload.server.workers = 5;
    const { goodPerSecond, waitMs } = overload.measure(4 * minuteMs, 6 * minuteMs);
    expect(goodPerSecond).toBeGreaterThan(0.9 * 100);
    expect(waitMs).toBeLessThan(2 * 50);
  });
});

describe("AdaptiveLimit when calls take longer for another reason", () => {
  // As many workers as one likes: nothing queues, the service waits for one behind it.
  it.each([2, 4, 10])("grows with a latency that is %d times the former for good", (factor) => {
    for (const seed of [1, 2]) {
      const overload = new Overload({ workers: 1e6, demand: exponential(10), perSecond: () => 2_000, seed });
      expect(overload.measure(minuteMs / 2, minuteMs).refusedShare).toBeLessThan(0.01);
      overload.server.demand = exponential(10 * factor);
      expect(overload.measure(minuteMs + 15_000, 2 * minuteMs).refusedShare).toBeLessThan(0.02);
      overload.server.demand = exponential(10);
      expect(overload.measure(2 * minuteMs + 1_000, 3 * minuteMs).refusedShare).toBeLessThan(0.01);
    }
  });

  it("keeps the workers busy when each call keeps them twice as long, under a lasting overload", () => {
    for (const seed of [1, 2, 3]) {
      const overload = new Overload({ workers: 20, demand: exponential(50), perSecond: () => 1_200, seed });
      overload.measure(0, minuteMs);
      overload.server.demand = exponential(100);
      const { goodPerSecond, waitMs } = overload.measure(minuteMs + 20_000, 4 * minuteMs);
      expect(goodPerSecond / 200).toBeGreaterThan(0.93);
      expect(waitMs / 100).toBeLessThan(2);
    }
  });
});

describe("AdaptiveLimit in an overload and a slow-down together", () => {
  it("is right again soon when calls take ten times as long", () => {
    for (const seed of [1, 2, 3]) {
      const overload = new Overload({ workers: 20, demand: exponential(10), perSecond: () => 6_000, seed });
      overload.measure(0, minuteMs);
      overload.server.demand = exponential(100);
      expect(overload.measure(minuteMs + 15_000, minuteMs + 45_000).goodPerSecond / 200).toBeGreaterThan(0.9);
    }
  });

  it("ends one in which all calls run out of time, though the limit is not reached", () => {
    for (const seed of [1, 2, 3]) {
      // From 12 to 240 calls a second where 80 can be served; all that wait for 300 ms are gone before the limit is reached.
      const perSecond = (now: number) => (now < minuteMs ? 12 : 240);
      const scenario = {
        workers: 4,
        demand: exponential(50),
        perSecond,
        initial: 400,
        deadlineMs: 300,
        seed,
      };
      const overload = new Overload(scenario);
      expect(overload.measure(2 * minuteMs, 4 * minuteMs).goodPerSecond / 80).toBeGreaterThan(0.8);
    }
  });
});

describe("AdaptiveLimit before a healthy service", () => {
  it.each([
    [20, 0.7],
    [20, 0.8],
    [100, 0.9],
  ])("refuses next to none: %d workers at %d of what they can do", (workers, load) => {
    for (const seed of [1, 2, 3]) {
      const demand = exponential(100);
      const overload = new Overload({ workers, demand, perSecond: () => load * workers * 10, seed });
      expect(overload.measure(minuteMs, 5 * minuteMs).refusedShare).toBeLessThan(0.01);
    }
  });

  it("does not grow while less than half of it is used", () => {
    const overload = new Overload({
      workers: 1e6,
      demand: constant(10),
      perSecond: () => 500,
      initial: 40,
    });
    overload.measure(0, 10 * minuteMs);
    expect(overload.limit.limit).toBe(40);
  });

  it("is not led astray by calls of which one in twenty takes a hundred times as long", () => {
    for (const seed of [1, 2, 3]) {
      const demand: Demand = (random) => (random() < 0.05 ? 500 : 5);
      const overload = new Overload({
        workers: 20,
        demand,
        perSecond: () => 0.7 * 20 * (1_000 / 29.75),
        seed,
      });
      expect(overload.measure(minuteMs, 5 * minuteMs).refusedShare).toBeLessThan(0.03);
    }
  });
});

describe("AdaptiveLimit and failures", () => {
  it("keeps what is served busy when half of the calls fail", () => {
    for (const seed of [1, 2, 3]) {
      const scenario = { workers: 20, demand: exponential(50), perSecond: () => 1_200, failing: 0.5, seed };
      const overload = new Overload(scenario);
      expect(overload.measure(minuteMs, 3 * minuteMs).goodPerSecond / 200).toBeGreaterThan(0.88);
    }
  });

  it("lets few calls hang, and is as before soon after they do not", () => {
    for (const seed of [1, 2, 3]) {
      const scenario = {
        workers: 20,
        demand: exponential(10),
        perSecond: () => 1_000,
        deadlineMs: 300,
        seed,
      };
      const overload = new Overload(scenario);
      overload.measure(0, minuteMs);
      overload.server.workers = 0;
      overload.measure(minuteMs + 5_000, minuteMs + 20_000);
      expect(overload.limit.inflight).toBeLessThan(10);
      overload.server.workers = 20;
      overload.server.call(() => {});
      expect(overload.measure(minuteMs + 22_000, 2 * minuteMs).refusedShare).toBeLessThan(0.02);
    }
  });
});

describe("AdaptiveLimit, whatever happens", () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("begin" as const) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("end" as const),
        which: fc.nat(),
        as: fc.constantFrom("success" as const, "failure" as const, "ignored" as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(500) }) },
  );
  const rules = fc
    .tuple(fc.integer({ min: 1, max: 5 }), fc.nat(30), fc.nat(30))
    .map(([min, more, above]) => ({ min, initial: min + more, max: min + more + above }));

  it("is within its bounds, never exceeded, and counts exactly what is in flight", () => {
    fc.assert(
      fc.property(rules, fc.array(step, { maxLength: 600 }), ({ min, max, initial }, steps) => {
        const limit = new AdaptiveLimit({ min, max, initial });
        const inflight: number[] = [];
        let now = 0;
        for (const next of steps) {
          if (next.kind === "pass") now += next.ms;
          if (next.kind === "begin") {
            const before = limit.limit;
            const wasFull = limit.isFull;
            const hasBegun = limit.begin(now);
            if (!wasFull) expect(hasBegun).toBe(true);
            if (hasBegun) {
              expect(inflight.length).toBeLessThan(before);
              inflight.push(now);
            }
          }
          if (next.kind === "end" && inflight.length > 0) {
            const [beganAt] = inflight.splice(next.which % inflight.length, 1);
            limit.end(next.as, now - (beganAt as number), now);
          }
          expect(limit.inflight).toBe(inflight.length);
          expect(limit.limit).toBeGreaterThanOrEqual(min);
          expect(limit.limit).toBeLessThanOrEqual(max);
          expect(Number.isInteger(limit.limit)).toBe(true);
        }
        // With nothing in flight there is room for one, whatever came before.
        for (const beganAt of inflight) limit.end("ignored", now - beganAt, now);
        expect(limit.begin(now)).toBe(true);
      }),
    );
  });

  it("names an end without a begin", () => {
    expect(() => new AdaptiveLimit({ min: 1, max: 2, initial: 1 }).end("success", 1, 1)).toThrow(
      "end() without",
    );
  });
});
