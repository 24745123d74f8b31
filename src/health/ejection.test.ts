/** Tests the decisions that take a node out, and for how long. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkEndpoint } from "../core/endpoint.ts";
import { Fleet } from "../core/fleet.ts";
import { Node } from "../core/node.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import {
  type EjectionRules,
  ejectionReason,
  judge,
  mostFail,
  type Surroundings,
  takeOut,
} from "./ejection.ts";

const rules: EjectionRules = {
  consecutiveFailures: 5,
  failureRate: 0.5,
  minimumCalls: 20,
  baseMs: 5_000,
  maxMs: 60_000,
};
const calm: Surroundings = { total: 4, inService: 4, ejected: 0, mostFail: false };
const badStatus = failure("status", "503");

function createNode(weight = 1): Node {
  return new Node(checkEndpoint({ address: "http://a", weight }), new Fleet(), 0, false);
}

/** Attempts that ended on the node, a millisecond apart. */
function run(node: Node, outcome: Outcome, times: number, from = 0): number {
  for (let time = 0; time < times; time++) {
    node.begin();
    node.end(outcome, from + time);
  }
  return from + times;
}

function verdict(node: Node, outcome: Outcome, surroundings: Partial<Surroundings> = {}, now = 100): string {
  return judge(node, outcome, rules, () => ({ ...calm, ...surroundings }), now);
}

describe("judge", () => {
  it("ejects at the configured number of failures in a row, not before", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 20 }), (limit, failures) => {
        const node = createNode();
        run(node, badStatus, failures);
        const given = judge(node, badStatus, { ...rules, consecutiveFailures: limit }, () => calm, 100);
        expect(given).toBe(failures >= limit ? "eject" : "stay");
      }),
    );
  });

  it("ejects by the share of failures once there are enough attempts", () => {
    const node = createNode();
    let now = 0;
    // One of three fails: below the rate.
    for (let round = 0; round < 20; round++) now = run(node, badStatus, 1, run(node, success, 2, now));
    expect(verdict(node, badStatus, {}, now)).toBe("stay");
    // Up to half.
    while (node.failures / node.calls < 0.5)
      now = run(node, badStatus, 1, run(node, success, 1, run(node, badStatus, 2, now)));
    expect(node.consecutiveFailures).toBeLessThan(5);
    expect(verdict(node, badStatus, {}, now)).toBe("eject");
    expect(ejectionReason(node, badStatus, rules, now)).toBe("50% of attempts failed within 10 s");
  });

  it("says nothing about a share of few attempts, or of long ago", () => {
    const node = createNode();
    let now = 0;
    for (let round = 0; round < 6; round++) now = run(node, badStatus, 2, run(node, success, 1, now));
    expect(node.calls).toBe(18);
    expect(verdict(node, badStatus, {}, now)).toBe("stay");
    now = run(node, badStatus, 2, run(node, success, 1, now));
    expect(verdict(node, badStatus, {}, now)).toBe("eject");
    expect(verdict(node, badStatus, {}, now + 10_000)).toBe("stay");
  });

  it.each(["refused", "unreachable"] as const)(
    "takes out a node that is %s at once, whatever the cap",
    (reason) => {
      const outcome = failure(reason, "x");
      expect(verdict(createNode(), outcome, { ejected: 4, mostFail: true, inService: 2 })).toBe("down");
      expect(judge(createNode(), outcome, undefined, () => calm, 0)).toBe("down");
    },
  );

  it("never takes the last node in service", () => {
    const node = createNode();
    run(node, badStatus, 10);
    for (const outcome of [badStatus, failure("refused", "x")]) {
      expect(verdict(node, outcome, { inService: 1 })).toBe("spare");
    }
  });

  it("ejects up to max(1, floor(n/2)) nodes", () => {
    const node = createNode();
    run(node, badStatus, 5);
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 3_000 }), fc.nat(), (total, part) => {
        const ejected = part % total;
        const cap = Math.max(1, Math.floor(total / 2));
        const inService = Math.max(2, total - ejected);
        expect(verdict(node, badStatus, { total, ejected, inService })).toBe(
          ejected < cap ? "eject" : "stay",
        );
      }),
    );
  });

  it("ejects nobody while most nodes fail", () => {
    const node = createNode();
    run(node, badStatus, 50);
    expect(verdict(node, badStatus, { mostFail: true })).toBe("stay");
  });

  it("leaves a node alone for what is ignored or good, or when ejection is off", () => {
    const node = createNode();
    run(node, badStatus, 50);
    expect(verdict(node, ignored("aborted", "x"))).toBe("stay");
    expect(verdict(node, success)).toBe("stay");
    expect(judge(node, badStatus, undefined, () => calm, 0)).toBe("stay");
  });

  it("looks around only when it has to", () => {
    const never = (): Surroundings => {
      throw new Error("looked around");
    };
    const node = createNode();
    run(node, badStatus, 4);
    expect(judge(node, badStatus, rules, never, 10)).toBe("stay");
    expect(judge(node, success, rules, never, 10)).toBe("stay");
  });
});

describe("mostFail", () => {
  it("is true when more than half of the nodes failed last, within 2 s", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 20 }), (failing) => {
        const nodes = failing.map((fails) => {
          const node = createNode();
          run(node, fails ? badStatus : success, 1);
          return node;
        });
        expect(mostFail(nodes, 1_999)).toBe(failing.filter(Boolean).length > failing.length / 2);
        expect(mostFail(nodes, 2_000)).toBe(false);
      }),
    );
  });

  it("does not count nodes that are drained, or have succeeded since", () => {
    const good = createNode();
    const bad = createNode();
    const drained = createNode();
    for (const node of [bad, drained, good]) run(node, badStatus, 1);
    run(good, success, 1, 1);
    drained.drainedByProgram = true;
    expect(mostFail([good, bad, drained], 10)).toBe(false);
    drained.drainedByProgram = false;
    expect(mostFail([good, bad, drained], 10)).toBe(true);
  });
});

describe("takeOut", () => {
  const out = (node: Node, state: "down" | "ejected", now: number, random = 0, mostOut = false): number => {
    const { health, strikes } = takeOut(node, state, "x", rules, mostOut, now, () => random);
    if (health.kind !== "out") throw new Error("it must be out");
    node.health = health;
    node.strikes = strikes;
    return health.until - now;
  };
  /** Fails its trial as soon as it gets one. */
  const penalties = (node: Node, state: "down" | "ejected", times: number): number[] => {
    let now = 0;
    return Array.from({ length: times }, () => {
      const penalty = out(node, state, now);
      now += penalty;
      return penalty;
    });
  };

  it("doubles from 5 s to 60 s for an ejected node, from 1 s to 5 s for one that is down", () => {
    expect(penalties(createNode(), "ejected", 6)).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    expect(penalties(createNode(), "down", 5)).toEqual([1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  it("says since when, until when and why", () => {
    expect(takeOut(createNode(), "ejected", "why", rules, false, 7, () => 0)).toEqual({
      health: { kind: "out", state: "ejected", reason: "why", since: 7, until: 5_007 },
      strikes: 1,
    });
  });

  it("is up to a tenth shorter by chance", () => {
    expect(out(createNode(), "ejected", 0, 1)).toBe(4_500);
    expect(out(createNode(), "ejected", 0, 0.5)).toBe(4_750);
  });

  it("forgives one doubling for each 10 s of good service", () => {
    for (const [served, next] of [
      [9_999, 40_000],
      [10_000, 20_000],
      [20_000, 10_000],
      [30_000, 5_000],
      [1_000_000, 5_000],
    ] as const) {
      const node = createNode();
      penalties(node, "ejected", 3);
      node.restore(100_000);
      expect(out(node, "ejected", 100_000 + served)).toBe(next);
    }
  });

  it("forgives nothing for the time on trial", () => {
    const node = createNode();
    node.restore(0);
    expect(out(node, "ejected", 1)).toBe(5_000);
    node.health = { kind: "probing", from: "ejected", reason: "x", since: 50_000, onTrial: true };
    expect(out(node, "ejected", 90_000)).toBe(10_000);
  });

  it("is forgiven within a minute however long the node was out", () => {
    const node = createNode();
    penalties(node, "ejected", 200);
    node.restore(10_000_000);
    expect(out(node, "ejected", 10_060_000)).toBe(5_000);
  });

  it("is a second for a node that is down with most others", () => {
    const node = createNode();
    penalties(node, "down", 4);
    expect(out(node, "down", 100_000, 0, true)).toBe(1_000);
    const ejected = createNode();
    penalties(ejected, "ejected", 2);
    expect(out(ejected, "ejected", 100_000, 0, true)).toBe(20_000);
  });
});
