/** Tests that calls are shed in proportion to how a service fails, soon, and no longer than it does. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSeededRandom } from "../core/random.ts";
import { drawExponential } from "../testing/simulation/chance.ts";
import { EventClock } from "../testing/simulation/event-clock.ts";
import { Throttle, type ThrottleRules } from "./throttle.ts";

/** What becomes of a call that goes out at a certain time. */
interface Fate {
  /** Never, until the service is back or its deadline comes. */
  readonly hangs?: boolean;
  readonly failing?: number;
  readonly latencyMs?: number;
}

interface Scenario {
  readonly fate: (now: number) => Fate;
  readonly perSecond?: number;
  readonly deadlineMs?: number;
  readonly rules?: ThrottleRules;
  readonly seed?: number;
}

const seeds = [1, 2, 3, 4, 5];

/** Calls by chance through a throttle; `admitted(from, to)` is the share of them that went out. */
class Traffic {
  readonly clock: EventClock = new EventClock();
  readonly throttle: Throttle;
  readonly #asked: { readonly at: number; readonly admitted: boolean }[] = [];
  readonly #hanging: Set<() => void> = new Set();

  constructor({ fate, perSecond = 250, deadlineMs = 300, rules = {}, seed = 1 }: Scenario) {
    const random = createSeededRandom(seed);
    this.throttle = new Throttle(rules, random);
    const arrive = () => {
      const now = this.clock.now();
      const { hangs = false, failing = 0, latencyMs = 10 } = fate(now);
      if (!hangs) this.#release();
      const admitted = this.throttle.admits(now);
      this.#asked.push({ at: now, admitted });
      if (admitted) {
        const takesMs = hangs ? Number.POSITIVE_INFINITY : drawExponential(latencyMs, random);
        this.#send(takesMs, deadlineMs, random() < failing);
      }
      this.clock.schedule(arrive, drawExponential(1_000 / perSecond, random));
    };
    this.clock.schedule(arrive, 0);
  }

  admitted(fromMs: number, toMs: number): number {
    this.clock.runUntil(toMs);
    const asked = this.#asked.filter(({ at }) => at >= fromMs && at < toMs);
    return asked.filter(({ admitted }) => admitted).length / asked.length;
  }

  #send(takesMs: number, deadlineMs: number, fails: boolean): void {
    const beganAt = this.clock.now();
    const ticket = this.throttle.began(beganAt);
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      this.#hanging.delete(end);
      const latencyMs = this.clock.now() - beganAt;
      const kind = fails || latencyMs >= deadlineMs ? "failure" : "success";
      this.throttle.ended(ticket, kind, latencyMs, this.clock.now());
    };
    if (takesMs === Number.POSITIVE_INFINITY) this.#hanging.add(end);
    this.clock.schedule(end, Math.min(takesMs, deadlineMs));
  }

  /** The service goes on: what hung is answered now. */
  #release(): void {
    for (const end of this.#hanging) end();
  }
}

/** From 5 s on for so long. */
const during = (lengthMs: number, bad: Fate) => (now: number) =>
  now >= 5_000 && now < 5_000 + lengthMs ? bad : {};

describe("Throttle in a total outage", () => {
  it.each<[string, Fate, number]>([
    ["fails", { failing: 1 }, 300],
    ["hangs, and calls have 300 ms", { hangs: true }, 300],
    ["hangs, and calls have 30 s", { hangs: true }, 30_000],
  ])(
    "sheds most calls within 3 s when the service %s, and none 2 s after its return",
    (_, bad, deadlineMs) => {
      for (const seed of seeds) {
        const traffic = new Traffic({ fate: during(20_000, bad), deadlineMs, seed });
        expect(traffic.admitted(0, 5_000)).toBe(1);
        expect(traffic.admitted(7_500, 8_000)).toBeLessThan(0.2);
        expect(traffic.admitted(8_000, 25_000)).toBeLessThan(0.05);
        expect(traffic.admitted(27_000, 40_000)).toBeGreaterThan(0.99);
      }
    },
  );

  it("keeps a few trials going", () => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(20_000, { failing: 1 }), seed });
      const trials = traffic.admitted(9_000, 25_000) * 250;
      expect(trials).toBeGreaterThan(2);
      expect(trials).toBeLessThan(7);
    }
  });

  it.each([500, 1_000, 2_000, 3_000, 5_000])("lets go within 2 s after one of %d ms", (lengthMs) => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(lengthMs, { failing: 1 }), seed });
      traffic.admitted(0, 5_000);
      const backAt = 5_000 + lengthMs;
      expect(traffic.admitted(backAt + 2_000, backAt + 10_000)).toBeGreaterThan(0.99);
    }
  });

  it("is not over with one lucky call", () => {
    const throttle = new Throttle({}, () => 0.5);
    for (let call = 0; call < 1_000; call++) {
      const now = call * 4;
      if (throttle.admits(now)) throttle.ended(throttle.began(now), "failure", 0, now);
    }
    throttle.ended(throttle.began(4_000), "success", 10, 4_000);
    expect(throttle.share(4_000)).toBeLessThan(0.2);
    expect(throttle.share(4_000)).toBeGreaterThan(0);
  });
});

describe("Throttle in a partial outage", () => {
  it("sheds nothing while half of the calls succeed", () => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(60_000, { failing: 0.3 }), seed });
      expect(traffic.admitted(0, 65_000)).toBe(1);
    }
  });

  it.each([
    [0.6, 0.8],
    [0.75, 0.5],
    [0.9, 0.2],
  ])("with %d failing admits about %d of the calls", (failing, share) => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(120_000, { failing }), seed });
      traffic.admitted(0, 10_000);
      expect(Math.abs(traffic.admitted(10_000, 120_000) - share)).toBeLessThan(0.06);
    }
  });
});

describe("Throttle and slow services", () => {
  it("leaves a service alone that always takes seconds", () => {
    for (const seed of seeds) {
      const traffic = new Traffic({
        fate: () => ({ latencyMs: 5_000 }),
        perSecond: 50,
        deadlineMs: 60_000,
        seed,
      });
      expect(traffic.admitted(0, 60_000)).toBe(1);
    }
  });

  it("leaves a service alone that becomes ten times slower for good", () => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(60_000, { latencyMs: 100 }), deadlineMs: 3_000, seed });
      expect(traffic.admitted(0, 60_000)).toBe(1);
    }
  });

  it("counts one that takes long as failed while it does, and as good when it succeeds", () => {
    const throttle = new Throttle({ ratio: 1.2 }, () => 0.999);
    for (let call = 0; call < 20; call++) throttle.ended(throttle.began(0), "success", 10, 0);
    const tickets = Array.from({ length: 60 }, () => throttle.began(10));
    expect(throttle.share(110)).toBe(1);
    // 20 of 80 are good.
    expect(throttle.share(111)).toBeCloseTo(0.3);
    for (const ticket of tickets) throttle.ended(ticket, "success", 110, 120);
    expect(throttle.share(120)).toBe(1);
  });

  it("does not count a hang twice when it ends by its deadline", () => {
    const throttle = new Throttle({ windowMs: 2_000 }, () => 0.999);
    for (let call = 0; call < 60; call++) throttle.ended(throttle.began(0), "success", 10, 0);
    const tickets = Array.from({ length: 60 }, () => throttle.began(10));
    expect(throttle.share(200)).toBe(1);
    for (const ticket of tickets) throttle.ended(ticket, "failure", 290, 300);
    expect(throttle.share(300)).toBe(1);
  });

  it("counts callers who lose patience long before a hang is certain", () => {
    const throttle = new Throttle({}, () => 0.999);
    for (let call = 0; call < 20; call++) throttle.ended(throttle.began(0), "success", 10, 0);
    for (let call = 0; call < 30; call++) throttle.ended(throttle.began(10), "ignored", 30, 40);
    expect(throttle.share(40)).toBe(1);
    for (let call = 0; call < 60; call++) throttle.ended(throttle.began(10), "ignored", 50, 60);
    expect(throttle.share(60)).toBe(0.5);
  });
});

describe("Throttle with few calls", () => {
  it("sheds nothing", () => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(60_000, { failing: 1 }), perSecond: 3, seed });
      expect(traffic.admitted(0, 60_000)).toBe(1);
    }
  });

  it("sheds at thirty calls a second too, and recovers", () => {
    for (const seed of seeds) {
      const traffic = new Traffic({ fate: during(20_000, { failing: 1 }), perSecond: 30, seed });
      traffic.admitted(0, 5_000);
      expect(traffic.admitted(8_000, 25_000)).toBeLessThan(0.2);
      expect(traffic.admitted(29_000, 60_000)).toBeGreaterThan(0.99);
    }
  });
});

describe("Throttle, whatever happens", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("ask" as const) }),
    fc.record({
      kind: fc.constant("end" as const),
      which: fc.nat(),
      as: fc.constantFrom("success" as const, "failure" as const, "ignored" as const),
    }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 3_000 }) }),
  );

  it("admits a share from 0 to 1, and all when nothing fails or hangs", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), fc.boolean(), (steps, isHealthy) => {
        const throttle = new Throttle({ minimumCalls: 1 }, createSeededRandom(1));
        const inflight: { readonly ticket: number; readonly at: number }[] = [];
        let now = 0;
        for (const next of steps) {
          if (next.kind === "pass") now += isHealthy ? 0 : next.ms;
          if (next.kind === "ask" && throttle.admits(now))
            inflight.push({ ticket: throttle.began(now), at: now });
          if (next.kind === "end" && inflight.length > 0) {
            const [ended] = inflight.splice(next.which % inflight.length, 1);
            if (ended !== undefined) {
              throttle.ended(ended.ticket, isHealthy ? "success" : next.as, now - ended.at, now);
            }
          }
          const share = throttle.share(now);
          expect(share).toBeGreaterThanOrEqual(0);
          expect(share).toBeLessThanOrEqual(1);
          if (isHealthy) expect(share).toBe(1);
        }
      }),
    );
  });
});
