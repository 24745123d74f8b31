/** Tests a node's averages against the formulas of algorithms.md, and its counts. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Attempt } from "./attempt.ts";
import { checkEndpoint, type Endpoint } from "./endpoint.ts";
import { Fleet } from "./fleet.ts";
import { Node } from "./node.ts";
import { failure, ignored, type Outcome, success } from "./outcome.ts";

function createNode(endpoint: Partial<Endpoint> = {}, fleetMs = 1, now = 0) {
  const fleet = new Fleet();
  fleet.latencyMs = fleetMs;
  const node = new Node(checkEndpoint({ address: "http://a", ...endpoint }), fleet, now, true);
  return { fleet, node };
}

const reset = failure("reset", "ECONNRESET");

describe("Fleet", () => {
  it("starts at 1 ms and takes each sample with a gain of .02", () => {
    const fleet = new Fleet();
    expect(fleet.latencyMs).toBe(1);
    fleet.observe(101);
    expect(fleet.latencyMs).toBeCloseTo(3, 12);
    fleet.observe(3);
    expect(fleet.latencyMs).toBeCloseTo(3, 12);
  });
});

describe("a node's latency", () => {
  it("begins as the fleet's", () => {
    expect(createNode({}, 42).node.latencyMs).toBe(42);
  });

  it("takes a sample with a gain of .1, after it has faded to the fleet's over 5 s", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            pauseMs: fc.integer({ min: 0, max: 20_000 }),
            sample: fc.integer({ min: 0, max: 5_000 }),
          }),
        ),
        (samples) => {
          const { node, fleet } = createNode({}, 10);
          let [now, latency, fleetLatency] = [0, 10, 10];
          for (const { pauseMs, sample } of samples) {
            now += pauseMs;
            const weight = Math.exp(-pauseMs / 5_000);
            const faded = latency * weight + fleetLatency * (1 - weight);
            latency = faded + 0.1 * (sample - faded);
            fleetLatency += 0.02 * (sample - fleetLatency);
            node.answered(sample, now);
            expect(node.latencyMs).toBeCloseTo(latency, 6);
            expect(fleet.latencyMs).toBeCloseTo(fleetLatency, 6);
          }
        },
      ),
    );
  });

  it("fades to the fleet's mean, never to 0, in one step as in many", () => {
    const many = createNode({}, 20);
    const one = createNode({}, 20);
    for (const { node, fleet } of [many, one]) {
      node.answered(1_020, 0);
      fleet.latencyMs = 20;
    }
    expect(one.node.latencyMs).toBe(120);
    for (let now = 0; now <= 5_000; now += 100) many.node.refresh(now);
    one.node.refresh(5_000);
    expect(one.node.latencyMs).toBeCloseTo(20 + 100 / Math.E, 9);
    expect(many.node.latencyMs).toBeCloseTo(one.node.latencyMs, 9);
    one.node.refresh(1_000_000);
    expect(one.node.latencyMs).toBeCloseTo(20, 9);
  });

  it("does not go back in time", () => {
    const { node } = createNode();
    node.answered(100, 1_000);
    const { latencyMs } = node;
    node.refresh(500);
    expect(node.latencyMs).toBe(latencyMs);
  });
});

describe("a node's failure rate", () => {
  it("takes each end with a gain of .2, and fades over 5 s", () => {
    const { node } = createNode();
    const end = (outcome: Outcome, now: number) => {
      node.begin();
      node.end(outcome, now);
    };
    end(reset, 0);
    expect(node.failureRate).toBeCloseTo(0.2, 12);
    end(reset, 0);
    expect(node.failureRate).toBeCloseTo(0.36, 12);
    end(success, 0);
    expect(node.failureRate).toBeCloseTo(0.288, 12);
    node.refresh(5_000);
    expect(node.failureRate).toBeCloseTo(0.288 / Math.E, 12);
    end(reset, 10_000);
    const faded = 0.288 / Math.E ** 2;
    expect(node.failureRate).toBeCloseTo(faded + 0.2 * (1 - faded), 12);
    node.refresh(100_000);
    expect(node.failureRate).toBe(0);
  });

  it("follows the formula through any ends and pauses, and stays from 0 to 1", () => {
    const outcomes = fc.constantFrom<Outcome>(success, reset, ignored("aborted", "x"));
    const steps = fc.array(fc.record({ pauseMs: fc.integer({ min: 0, max: 3_000 }), outcome: outcomes }));
    fc.assert(
      fc.property(steps, (given) => {
        const { node } = createNode();
        let [now, rate] = [0, 0];
        for (const { pauseMs, outcome } of given) {
          now += pauseMs;
          rate *= Math.exp(-pauseMs / 5_000);
          if (outcome.kind !== "ignored") rate += 0.2 * ((outcome.kind === "failure" ? 1 : 0) - rate);
          node.begin();
          node.end(outcome, now);
          node.refresh(now);
          expect(node.failureRate).toBeCloseTo(rate, 5);
          expect(node.failureRate).toBeGreaterThanOrEqual(0);
          expect(node.failureRate).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});

describe("a node's counts", () => {
  it("are of successes and failures; what is ignored only counts out", () => {
    const { node } = createNode();
    for (const outcome of [success, reset, ignored("aborted", "x"), reset]) {
      node.begin();
      node.end(outcome, 10);
    }
    expect(node).toMatchObject({
      calls: 3,
      failures: 2,
      inflight: 0,
      consecutiveFailures: 2,
      lastFailureAt: 10,
    });
    expect(node.recentCalls.sum(10)).toBe(3);
    expect(node.recentFailures.sum(10)).toBe(2);
  });

  it("begin anew with its return, but for the totals", () => {
    const { node } = createNode();
    for (let time = 0; time < 7; time++) {
      node.begin();
      node.end(reset, time);
    }
    node.health = { kind: "probing", from: "ejected", reason: "x", since: 50, onTrial: true };
    node.spared = true;
    node.restore(100);
    expect(node).toMatchObject({
      health: { kind: "in" },
      returnedAt: 100,
      consecutiveFailures: 0,
      spared: false,
      calls: 7,
      failures: 7,
    });
    expect(node.recentCalls.sum(100)).toBe(0);
    expect(node.recentFailures.sum(100)).toBe(0);
  });

  it("call it fresh until its first good answer", () => {
    const { node } = createNode();
    node.begin();
    node.stalled(5, 1);
    node.end(reset, 1);
    expect(node.fresh).toBe(true);
    node.begin();
    node.answered(5, 2);
    expect(node.fresh).toBe(false);
  });
});

describe("a node", () => {
  it("has a URL for each path, unless it is a socket", () => {
    const { node } = createNode({ address: "HTTP://10.0.0.1:80/" });
    expect(node.url("/x?y=1")).toBe("http://10.0.0.1/x?y=1");
    expect(node.url("x")).toBe("http://10.0.0.1/x");
    expect(createNode({ address: "https://[::1]:8443" }).node.url("/")).toBe("https://[::1]:8443/");
    expect(() => createNode({ address: "unix:/run/a.sock" }).node.url("/")).toThrow(
      new TypeError("unix:/run/a.sock is a socket and has no URL"),
    );
  });

  it("says why it gets no new calls: the removal first, then the drain, then the weight", () => {
    const { node } = createNode({ weight: 0 });
    expect(node.drainCause).toBe("weight 0");
    node.drainedByProgram = true;
    expect(node.drainCause).toBe("drained by the program");
    node.removedAt = 0;
    expect(node.drainCause).toBe("removed by discovery");
    expect(createNode().node.drainCause).toBeUndefined();
  });
});

describe("an attempt", () => {
  it("is in flight from its making to its one end", () => {
    const { node } = createNode();
    const attempt = new Attempt(node, 1, 0, 0);
    expect(node.inflight).toBe(1);
    expect(attempt.end(success, 5, 0)).toBe(true);
    expect(attempt.end(reset, 6, 0)).toBe(false);
    expect(node).toMatchObject({ inflight: 0, calls: 1, failures: 0 });
  });

  it("gives its time to good headers as the sample, once, and its end no further one", () => {
    const { node } = createNode({}, 10);
    const attempt = new Attempt(node, 1, 0, 0);
    attempt.answered(true, 110, 0);
    attempt.answered(true, 500, 0);
    attempt.end(success, 9_000, 0);
    expect(attempt.latencyMs).toBe(110);
    const fleet = 10 + 0.02 * 100;
    const answered = 10 + 0.1 * 100;
    node.refresh(110);
    expect(node.latencyMs).toBeCloseTo(answered + 0 * fleet, 9);
  });

  it("leaves out the wait for a connection, and the process's own blockage", () => {
    const { node } = createNode();
    const waited = new Attempt(node, 1, 1_000, 0);
    waited.sent(1_080);
    waited.answered(true, 1_100, 0);
    expect(waited.latencyMs).toBe(20);
    const blocked = new Attempt(node, 1, 1_000, 300);
    expect(blocked.elapsedMs(3_000, 2_200)).toBe(100);
    blocked.answered(true, 3_000, 2_200);
    expect(blocked.latencyMs).toBe(100);
    expect(new Attempt(node, 1, 1_000, 0).elapsedMs(1_010, 50)).toBe(0);
  });

  it("never lowers the latency by a failure, however fast", () => {
    const { node, fleet } = createNode({}, 100);
    for (let time = 0; time < 50; time++) {
      const attempt = new Attempt(node, 1, time, 0);
      if (time % 2 === 0) attempt.answered(false, time, 0);
      attempt.end(time % 3 === 0 ? ignored("aborted", "x") : reset, time, 0);
      expect(node.latencyMs).toBeGreaterThanOrEqual(100);
    }
    expect(fleet.latencyMs).toBe(100);
  });

  it("raises the latency by a timeout with all of its time, and by an abort that took longer", () => {
    for (const outcome of [failure("timeout", "x"), ignored("aborted", "x"), ignored("deadline", "x")]) {
      const { node, fleet } = createNode({}, 100);
      new Attempt(node, 1, 0, 0).end(outcome, 1_100, 0);
      expect(node.latencyMs).toBeCloseTo(200, 9);
      expect(fleet.latencyMs).toBe(100);
    }
  });

  it("is no sample when it was our own shortage or the call's fault, or was never sent", () => {
    for (const outcome of [ignored("shortage", "EMFILE"), ignored("call", "x"), ignored("unsent", "x")]) {
      const { node } = createNode({}, 100);
      const attempt = new Attempt(node, 1, 0, 0);
      attempt.end(outcome, 5_000, 0);
      expect(node.latencyMs).toBe(100);
      expect(attempt.latencyMs).toBeUndefined();
    }
  });

  it("keeps in flight right whatever is reported how often", () => {
    const outcomes = fc.constantFrom<Outcome>(success, reset, ignored("aborted", "x"), ignored("call", "x"));
    const step = fc.record({
      attempt: fc.nat(9),
      kind: fc.constantFrom("answered", "bad", "end"),
      outcome: outcomes,
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { node } = createNode();
        const attempts = Array.from({ length: 10 }, (_, number) => new Attempt(node, number, 0, 0));
        const ended = new Set<number>();
        for (const [now, { attempt, kind, outcome }] of steps.entries()) {
          const one = attempts[attempt] as Attempt;
          if (kind === "end") {
            expect(one.end(outcome, now, 0)).toBe(!ended.has(attempt));
            ended.add(attempt);
          } else {
            one.answered(kind === "answered", now, 0);
          }
          expect(node.inflight).toBe(10 - ended.size);
        }
        expect(node.calls).toBeLessThanOrEqual(ended.size);
        expect(node.latencyMs).toBeGreaterThan(0);
      }),
    );
  });
});
