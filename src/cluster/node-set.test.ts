/** Tests who may be called and when: ejection acted on, trials, fail open, drains, removals and warm-up. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import { Attempt } from "../core/attempt.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";
import type { NodeStateEvent } from "../core/events.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { viewOf } from "../core/view.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { NodeSet } from "./node-set.ts";
import { type ClusterOptions, resolveOptions } from "./options.ts";

const refused = failure("refused", "ECONNREFUSED");
const badStatus = failure("status", "503");
const aborted = ignored("aborted", "gone");

const releases: (() => void)[] = [];
afterEach(() => {
  for (const release of releases.splice(0)) release();
});

/** A node set in virtual time. Penalties have no jitter, and the policy takes the nodes in turn. */
class Harness {
  readonly clock: ManualClock = new ManualClock(1_000);
  readonly set: NodeSet;
  readonly seemGone: string[] = [];
  readonly gone: string[] = [];
  readonly states: NodeStateEvent[] = [];

  constructor(options: Partial<ClusterOptions> = {}) {
    const resolved = resolveOptions({
      name: "orders",
      discovery: [],
      clock: this.clock,
      random: () => 0,
      policy: roundRobin({ random: () => 0 }),
      ...options,
    });
    this.set = new NodeSet(resolved, (node) => this.seemGone.push(node.key));
    this.set.goneListeners.add((node) => this.gone.push(node.key));
    const listener = (event: unknown) => this.states.push(event as NodeStateEvent);
    subscribe("evenkeel:node:state", listener);
    releases.push(() => unsubscribe("evenkeel:node:state", listener));
  }

  get now(): number {
    return this.clock.now();
  }

  apply(endpoints: readonly (Endpoint | string)[], suspects: readonly string[] = []): void {
    const checked = endpoints.map((endpoint) => checkEndpoint(endpoint));
    this.set.apply({ endpoints: checked, suspects: new Set(suspects) }, this.now);
  }

  node(key: string): Node {
    const node = this.set.nodes.get(key);
    if (node === undefined) throw new Error(`no node ${key}`);
    return node;
  }

  state(key: string): string {
    return viewOf(this.node(key), this.now, 0).state;
  }

  pick(call: { readonly canRetry?: boolean; readonly tried?: readonly Node[] } = {}): Node | undefined {
    const info = {
      method: "GET",
      path: "/",
      header: () => undefined,
      canRetry: true,
      tried: [],
      ...call,
      rules: { zone: undefined },
    };
    return this.set.pick(info, this.now);
  }

  /** Begins an attempt on a node whether it was picked or not. */
  begin(node: Node | undefined): Attempt {
    if (node === undefined) throw new Error("there is no node to begin on");
    const attempt = new Attempt(node, 1, this.now, 0);
    this.set.begun(attempt);
    return attempt;
  }

  end(attempt: Attempt, outcome: Outcome): void {
    if (outcome.kind === "success") {
      attempt.answered(true, this.now, 0);
      this.set.answered(attempt, this.now);
    }
    const judged = this.set.judged(attempt, outcome);
    if (attempt.end(judged, this.now, 0)) this.set.settled(attempt, judged, this.now);
  }

  /** Whole attempts on the node, one after the other, a millisecond each. */
  run(key: string, outcome: Outcome, times = 1): void {
    for (let time = 0; time < times; time++) {
      const attempt = this.begin(this.node(key));
      this.clock.advance(1);
      this.end(attempt, outcome);
    }
  }

  /** A verdict of the node's check; the detail is given when it fails. */
  check(key: string, detail = ""): void {
    this.set.checked(this.node(key), { healthy: detail === "", detail }, this.now);
  }

  /** The nodes that many picks come to. */
  picked(times = 20, call: { readonly canRetry?: boolean } = {}): ReadonlySet<string> {
    const keys = new Set<string>();
    for (let time = 0; time < times; time++) keys.add(this.pick(call)?.key ?? "none");
    return keys;
  }

  /** Events as `from>to`, of one node. */
  changes(key: string): readonly string[] {
    return this.states.filter(({ address }) => address === key).map(({ from, to }) => `${from}>${to}`);
  }
}

const [a, b, c, d] = ["http://a", "http://b", "http://c", "http://d"] as const;

it("is as of no earlier than any node went out, on trial or came back: what begins as of then is after it", () => {
  const nodes = new Harness();
  nodes.apply([a, b]);
  const since = (): number => {
    const { health, returnedAt } = nodes.node(a);
    return health.kind === "in" ? returnedAt : health.since;
  };
  const seen = new Set<string>();
  const look = (): void => {
    seen.add(nodes.node(a).health.kind);
    expect(nodes.set.asOf).toBeGreaterThanOrEqual(since());
  };
  nodes.run(a, refused);
  look();
  nodes.clock.advance(60_000);
  const trial = nodes.pick();
  expect(trial?.key).toBe(a);
  look();
  nodes.clock.advance(10);
  nodes.end(nodes.begin(trial), success);
  look();
  expect(seen).toEqual(new Set(["out", "probing", "in"]));
  expect(nodes.node(a).returnedAt).toBe(nodes.now);
});

describe("an outage of all nodes", () => {
  const keys = ["http://a", "http://b", "http://c"] as const;
  const [a, b, c] = keys;
  const timeout = failure("timeout", "no answer");

  /** All nodes have served, and then those named fail for a while. */
  function afterFailuresOf(failing: readonly string[], options: { readonly forMs: number }): Harness {
    const harness = new Harness({ health: { ejection: false } });
    harness.apply(keys);
    for (const key of keys) harness.run(key, success, 10);
    harness.clock.advance(options.forMs);
    for (let round = 0; round < 10; round++) for (const key of failing) harness.run(key, timeout);
    return harness;
  }

  it("is over for all of them with the first good answer, and held against none", () => {
    const harness = afterFailuresOf(keys, { forMs: 1_000 });
    expect(harness.node(c).failureRate).toBeGreaterThan(0.5);
    harness.run(b, success);
    for (const key of keys) {
      const { failureRate, consecutiveFailures, latencyMs } = harness.node(key);
      expect({ failureRate, consecutiveFailures, latencyMs }).toEqual({
        failureRate: 0,
        consecutiveFailures: 0,
        latencyMs: expect.closeTo(1, 1),
      });
      expect(harness.node(key).recentFailures.sum(harness.now)).toBe(0);
    }
  });

  it("is what attempts failed of that began in it, and not those that began later", () => {
    const harness = afterFailuresOf(keys, { forMs: 1_000 });
    const begunInOutage = harness.begin(harness.node(a));
    harness.clock.advance(1);
    harness.run(b, success);
    const begunLater = harness.begin(harness.node(a));
    harness.clock.advance(500);
    harness.end(begunInOutage, timeout);
    expect(harness.node(a).failureRate).toBe(0);
    expect(harness.node(a).latencyMs).toBeCloseTo(1, 1);
    expect(harness.node(a).inflight).toBe(1);
    harness.end(begunLater, timeout);
    expect(harness.node(a).failureRate).toBeGreaterThan(0.1);
  });

  it("gives no latency by what began in it and was answered after it", () => {
    const harness = afterFailuresOf(keys, { forMs: 1_000 });
    const begunInOutage = harness.begin(harness.node(a));
    harness.clock.advance(1);
    harness.run(b, success);
    harness.clock.advance(500);
    expect(harness.set.isSample(begunInOutage)).toBe(false);
    expect(harness.set.isSample(harness.begin(harness.node(a)))).toBe(true);
  });

  it("tells when it is over, once", () => {
    const harness = afterFailuresOf(keys, { forMs: 1_000 });
    let ended = 0;
    harness.set.outageListeners.add(() => ended++);
    harness.run(b, success);
    harness.run(c, success);
    expect(ended).toBe(1);
  });

  it("is none when one of them did not fail", () => {
    const harness = afterFailuresOf([a, b], { forMs: 1_000 });
    const { failureRate } = harness.node(a);
    harness.run(c, success);
    expect(harness.node(a).failureRate).toBe(failureRate);
    expect(harness.node(a).consecutiveFailures).toBe(10);
  });

  it("is none while answers come in between, from whichever node", () => {
    const harness = afterFailuresOf(keys, { forMs: 900 });
    harness.run(b, success);
    expect(harness.node(a).consecutiveFailures).toBe(10);
    expect(harness.node(a).failureRate).toBeGreaterThan(0.5);
  });
});

describe("taking nodes out", () => {
  it("takes a node out at once when it refuses, and tells why and until when", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.run(a, refused);
    expect(viewOf(harness.node(a), harness.now, 0)).toMatchObject({
      state: "down",
      reason: "ECONNREFUSED",
      until: harness.now + 1_000,
    });
    expect(harness.picked()).toEqual(new Set([b, c]));
    expect(harness.changes(a)).toEqual(["new>ready", "ready>down"]);
  });

  it("ejects at the fifth failure in a row, for 5 s", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 4);
    expect(harness.state(a)).toBe("ready");
    harness.run(a, badStatus);
    expect(viewOf(harness.node(a), harness.now, 0)).toMatchObject({
      state: "ejected",
      reason: "5 failures in a row, the last: 503",
      until: harness.now + 5_000,
    });
    expect(harness.picked()).toEqual(new Set([b, c]));
  });

  it("starts to count again after each success", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    for (let round = 0; round < 4; round++) {
      harness.run(a, badStatus, 4);
      harness.run(a, success, 5);
    }
    expect(harness.state(a)).toBe("ready");
  });

  it("holds nothing against a node that is the caller's own doing", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    for (const reason of ["aborted", "shortage", "deadline", "call"] as const) {
      harness.run(a, ignored(reason, "x"), 20);
    }
    expect(harness.state(a)).toBe("ready");
    expect(harness.node(a)).toMatchObject({ calls: 0, failures: 0, failureRate: 0, inflight: 0 });
  });

  it("ejects at most half of the nodes, in a cluster of two one", () => {
    for (const [size, most] of [
      [2, 1],
      [3, 1],
      [4, 2],
      [7, 3],
    ] as const) {
      const harness = new Harness();
      const keys = Array.from({ length: size }, (_, index) => `http://n${index}`);
      harness.apply(keys);
      for (const key of keys) {
        harness.run(key, badStatus, 6);
        // Past the time in which its failures count for "most nodes fail".
        harness.clock.advance(2_100);
      }
      expect(keys.filter((key) => harness.state(key) === "ejected")).toHaveLength(most);
    }
  });

  it("takes out every node but the last when they refuse, whatever the cap", () => {
    const harness = new Harness();
    harness.apply([a, b, c, d]);
    for (const key of [a, b, c, d]) harness.run(key, refused);
    expect([a, b, c, d].map((key) => harness.state(key))).toEqual(["down", "down", "down", "ready"]);
  });

  it("ejects nobody while most nodes fail, and does once they no longer do", () => {
    const harness = new Harness();
    const keys = [a, b, c, d];
    harness.apply(keys);
    for (const key of keys) harness.run(key, badStatus);
    harness.run(a, badStatus, 10);
    expect(keys.map((key) => harness.state(key))).toEqual(["ready", "ready", "ready", "ready"]);
    for (const key of [b, c, d]) harness.run(key, success);
    harness.clock.advance(50);
    harness.run(a, badStatus);
    expect(harness.state(a)).toBe("ejected");
  });

  it("doubles the time out with each failed trial, up to 60 s", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, badStatus, 5);
    const penalties: number[] = [];
    for (let round = 0; round < 6; round++) {
      const { until = 0 } = viewOf(harness.node(a), harness.now, 0);
      penalties.push(until - harness.now);
      harness.clock.advance(until - harness.now);
      const trial = harness.begin(harness.pick());
      expect(trial.node.key).toBe(a);
      harness.end(trial, badStatus);
    }
    expect(penalties).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });

  it("judges a node that came back by what it did since, not by what it was ejected for", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    // Never five in a row: ejected by its share of failures.
    for (let round = 0; round < 10 && harness.state(a) === "ready"; round++) {
      harness.run(a, success);
      harness.run(a, badStatus, 3);
    }
    expect(viewOf(harness.node(a), harness.now, 0).reason).toMatch(/^\d+% of attempts failed within 10 s$/);
    harness.clock.advance(5_000);
    harness.end(harness.begin(harness.pick()), success);
    expect(harness.state(a)).toBe("ready");
    harness.run(a, badStatus);
    expect(harness.state(a)).toBe("ready");
  });

  it("ejects nobody when ejection is off, but leaves alone a node that refuses", () => {
    const harness = new Harness({ health: { ejection: false } });
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 50);
    expect(harness.state(a)).toBe("ready");
    harness.run(a, refused);
    expect(harness.state(a)).toBe("down");
  });
});

describe("a trial", () => {
  /** `a` is ejected, and its time is up. */
  function withHalfOpen(options: Partial<ClusterOptions> = {}): Harness {
    const harness = new Harness(options);
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 5);
    harness.clock.advance(4_999);
    expect(harness.picked()).toEqual(new Set([b, c]));
    harness.clock.advance(101);
    return harness;
  }

  it("is one call at a time, ahead of the policy", () => {
    const harness = withHalfOpen();
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(a);
    expect(harness.state(a)).toBe("probing");
    expect(harness.picked(50)).toEqual(new Set([b, c]));
    harness.clock.advance(20_000);
    expect(harness.picked(50)).toEqual(new Set([b, c]));
  });

  it("decides as well when the nodes were looked at since its call read the clock", () => {
    const harness = withHalfOpen();
    const readAt = harness.now;
    harness.clock.advance(1);
    harness.set.refresh(harness.now);
    const info = { method: "GET", path: "/", header: () => undefined, canRetry: true, tried: [] };
    const node = harness.set.pick({ ...info, rules: { zone: undefined } }, readAt) as Node;
    expect(node.key).toBe(a);
    const trial = new Attempt(node, 1, readAt, 0);
    harness.set.begun(trial);
    harness.end(trial, success);
    expect(harness.state(a)).toBe("ready");
  });

  it("that succeeds brings the node back", () => {
    const harness = withHalfOpen();
    harness.end(harness.begin(harness.pick()), success);
    expect(harness.state(a)).toBe("ready");
    expect(harness.picked()).toEqual(new Set([a, b, c]));
    expect(harness.changes(a)).toEqual(["new>ready", "ready>ejected", "ejected>probing", "probing>ready"]);
  });

  it("brings the node back with good headers, before the body has ended", () => {
    const harness = withHalfOpen();
    const trial = harness.begin(harness.pick());
    trial.answered(true, harness.now, 0);
    harness.set.answered(trial, harness.now);
    expect(harness.state(a)).toBe("ready");
    expect(harness.picked()).toEqual(new Set([a, b, c]));
  });

  it("that fails takes it out again, and only a later one decides anew", () => {
    const harness = withHalfOpen();
    harness.end(harness.begin(harness.pick()), badStatus);
    expect(viewOf(harness.node(a), harness.now, 0)).toMatchObject({
      state: "ejected",
      reason: "failed its trial: 503",
      until: harness.now + 10_000,
    });
    expect(harness.picked()).toEqual(new Set([b, c]));
  });

  it("that is refused makes it down", () => {
    const harness = withHalfOpen();
    harness.end(harness.begin(harness.pick()), refused);
    expect(harness.state(a)).toBe("down");
  });

  it("that says nothing is followed by another one", () => {
    const harness = withHalfOpen();
    harness.end(harness.begin(harness.pick()), aborted);
    expect(harness.state(a)).toBe("probing");
    expect(harness.pick()?.key).toBe(a);
    expect(harness.picked()).toEqual(new Set([b, c]));
  });

  it("goes first to calls that can be retried, after a second to any", () => {
    const harness = withHalfOpen();
    expect(harness.picked(50, { canRetry: false })).toEqual(new Set([b, c]));
    harness.clock.advance(999);
    expect(harness.picked(50, { canRetry: false })).toEqual(new Set([b, c]));
    harness.clock.advance(1);
    expect(harness.pick({ canRetry: false })?.key).toBe(a);
  });

  it("is not given to a call that has tried the node", () => {
    const harness = withHalfOpen();
    expect(harness.pick({ tried: [harness.node(a)] })?.key).not.toBe(a);
    expect(harness.pick()?.key).toBe(a);
  });

  it("is not given to a node that is drained, and is once it is undrained", () => {
    const harness = withHalfOpen();
    harness.pick({ canRetry: false });
    harness.set.setDrained(a, true, harness.now);
    expect(harness.picked()).toEqual(new Set([b, c]));
    harness.set.setDrained(a, false, harness.now);
    expect(harness.pick()?.key).toBe(a);
  });

  it("is not decided by a success of a call that began before the ejection", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    const early = harness.begin(harness.node(a));
    const later = harness.begin(harness.node(a));
    harness.run(a, badStatus, 5);
    harness.clock.advance(10);
    harness.end(early, success);
    expect(harness.state(a)).toBe("ejected");
    harness.clock.advance(5_000);
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(a);
    harness.end(later, success);
    expect(harness.state(a)).toBe("probing");
    expect(harness.picked()).toEqual(new Set([b, c]));
    harness.end(trial, success);
    expect(harness.state(a)).toBe("ready");
  });

  it("is not decided by a success of a call that began in the very moment of the ejection", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    const attempts = Array.from({ length: 6 }, () => harness.begin(harness.node(a)));
    for (const attempt of attempts.slice(0, 5)) harness.end(attempt, badStatus);
    harness.end(attempts[5] as Attempt, success);
    expect(harness.state(a)).toBe("ejected");
  });

  it("is not decided by a failure of a call that began before the node was out", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    const early = harness.begin(harness.node(a));
    harness.run(a, badStatus, 5);
    harness.clock.advance(5_100);
    const trial = harness.begin(harness.pick());
    harness.end(early, badStatus);
    expect(harness.state(a)).toBe("probing");
    harness.end(trial, success);
    expect(harness.state(a)).toBe("ready");
  });
});

describe("a trial among calls that go out since all are out", () => {
  it("stays the only one when one of those is given up", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, refused);
    harness.run(b, refused);
    harness.clock.advance(1_100);
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(a);
    const other = harness.begin(harness.node(a));
    harness.run(b, success);
    expect(harness.set.failingOpen).toBe(false);
    harness.end(other, aborted);
    expect(harness.picked()).toEqual(new Set([b]));
    harness.end(trial, aborted);
    expect(harness.pick()?.key).toBe(a);
  });
});

describe("when every node is out", () => {
  it("calls them all all the same", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    for (const key of [a, b, c]) harness.run(key, refused);
    expect(harness.set.failingOpen).toBe(true);
    expect(harness.picked()).toEqual(new Set([a, b, c]));
  });

  it("calls a lone node however often it fails", () => {
    const harness = new Harness();
    harness.apply([a]);
    harness.run(a, refused, 3);
    harness.run(a, badStatus, 30);
    expect(harness.state(a)).toBe("ready");
    expect(harness.set.failingOpen).toBe(true);
    expect(harness.pick()?.key).toBe(a);
    harness.run(a, success);
    expect(harness.set.failingOpen).toBe(false);
  });

  it("ends that with the first success, by its headers or by its end", () => {
    for (const withHeaders of [true, false]) {
      const harness = new Harness({ random: () => 0.5 });
      harness.apply([a, b]);
      harness.run(a, refused);
      harness.run(b, refused);
      expect(harness.set.failingOpen).toBe(true);
      const attempt = harness.begin(harness.node(b));
      if (withHeaders) {
        attempt.answered(true, harness.now, 0);
        harness.set.answered(attempt, harness.now);
      } else {
        attempt.end(success, harness.now, 0);
        harness.set.settled(attempt, success, harness.now);
      }
      expect(harness.set.failingOpen).toBe(false);
      expect(harness.picked()).toEqual(new Set([b]));
    }
  });

  it("is over when a call on a node that is out succeeds", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, refused);
    harness.run(b, refused);
    harness.clock.advance(1);
    harness.run(a, success);
    expect(harness.state(a)).toBe("ready");
    expect(harness.set.failingOpen).toBe(false);
    // The spared one is in service still, until it fails again.
    expect(harness.picked()).toEqual(new Set([a, b]));
    harness.run(b, refused);
    expect(harness.state(b)).toBe("down");
  });

  it("tries the others within a second once the first is back", () => {
    const harness = new Harness({ random: () => 0.5 });
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 5);
    harness.run(b, refused);
    harness.run(c, refused);
    expect(harness.set.failingOpen).toBe(true);
    harness.run(c, success);
    expect(viewOf(harness.node(a), harness.now, 0).until).toBe(harness.now + 500);
    harness.clock.advance(600);
    const first = harness.pick();
    expect([a, b]).toContain(first?.key);
  });

  it("is over when a new node joins", () => {
    const harness = new Harness({ random: () => 0.5 });
    harness.apply([a, b]);
    harness.run(a, refused);
    harness.run(b, refused);
    harness.apply([a, b, c]);
    expect(harness.set.failingOpen).toBe(false);
    expect(harness.picked()).toEqual(new Set([b, c]));
  });

  it("calls those that are out when the last good one is drained or removed", () => {
    for (const leave of ["drain", "remove"] as const) {
      const harness = new Harness();
      harness.apply([a, b]);
      harness.run(a, badStatus, 5);
      if (leave === "drain") harness.set.setDrained(b, true, harness.now);
      else harness.apply([a]);
      expect(harness.set.failingOpen).toBe(true);
      expect(harness.picked()).toEqual(new Set([a]));
    }
  });

  it("calls nobody without failOpen", () => {
    const harness = new Harness({ health: { failOpen: false } });
    harness.apply([a, b]);
    harness.run(a, badStatus, 5);
    harness.set.setDrained(b, true, harness.now);
    expect(harness.set.failingOpen).toBe(false);
    expect(harness.pick()).toBeUndefined();
    expect(harness.set.describe(harness.now)).toBe("none of 2 nodes may be called (1 ejected, 1 draining)");
    harness.clock.advance(5_100);
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(a);
    expect(harness.pick()).toBeUndefined();
    harness.end(trial, success);
    expect(harness.pick()?.key).toBe(a);
  });

  it("tries the others soon also without failOpen", () => {
    const harness = new Harness({ health: { failOpen: false } });
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 5);
    harness.run(b, refused);
    harness.set.setDrained(c, true, harness.now);
    harness.clock.advance(1_100);
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(b);
    harness.end(trial, success);
    expect(viewOf(harness.node(a), harness.now, 0).until).toBeLessThanOrEqual(harness.now + 1_000);
  });

  it("has nobody to call without nodes", () => {
    const harness = new Harness();
    expect(harness.pick()).toBeUndefined();
    expect(harness.set.failingOpen).toBe(false);
    expect(harness.set.describe(harness.now)).toBe("discovery names no node");
  });
});

describe("drains", () => {
  it("weight 0 gets no calls, keeps those it has, and comes back with its weight", () => {
    const harness = new Harness();
    harness.apply([a, { address: b, weight: 2 }]);
    const attempt = harness.begin(harness.node(b));
    harness.apply([a, { address: b, weight: 0 }]);
    expect(harness.picked()).toEqual(new Set([a]));
    expect(viewOf(harness.node(b), harness.now, 0)).toMatchObject({
      state: "draining",
      reason: "weight 0",
      weight: 0,
      inflight: 1,
    });
    harness.end(attempt, success);
    expect(harness.gone).toEqual([]);
    harness.apply([a, { address: b, weight: 2 }]);
    expect(harness.picked()).toEqual(new Set([a, b]));
    expect(harness.node(b)).toMatchObject({ weight: 2, calls: 1 });
    expect(harness.changes(b)).toEqual(["new>ready", "ready>draining", "draining>ready"]);
  });

  it("calls nobody when all are drained, even when it fails open", () => {
    const harness = new Harness();
    harness.apply([{ address: a, weight: 0 }, b]);
    harness.set.setDrained(b, true, harness.now);
    expect(harness.pick()).toBeUndefined();
    expect(harness.set.failingOpen).toBe(false);
  });

  it("drains and undrains for the program, also over new snapshots and for nodes to come", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    expect(harness.set.setDrained(a, true, harness.now)).toBe(true);
    expect(harness.set.setDrained(c, true, harness.now)).toBe(false);
    expect(harness.picked()).toEqual(new Set([b]));
    harness.apply([a, b, c]);
    expect(harness.picked()).toEqual(new Set([b]));
    expect(viewOf(harness.node(c), harness.now, 0)).toMatchObject({
      state: "draining",
      reason: "drained by the program",
    });
    harness.apply([b, c]);
    harness.apply([a, b, c]);
    expect(harness.picked()).toEqual(new Set([b]));
    expect(harness.set.setDrained(a, false, harness.now)).toBe(true);
    expect(harness.set.setDrained(c, false, harness.now)).toBe(true);
    expect(harness.picked()).toEqual(new Set([a, b, c]));
  });

  it("holds no failure against a node that drains", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const attempt = harness.begin(harness.node(a));
    harness.set.setDrained(a, true, harness.now);
    harness.end(attempt, refused);
    harness.set.setDrained(a, false, harness.now);
    expect(harness.state(a)).toBe("ready");
  });
});

describe("a removed node", () => {
  it("goes at once when it has no calls", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.apply([a]);
    expect([...harness.set.nodes.keys()]).toEqual([a]);
    expect(harness.gone).toEqual([b]);
    expect(harness.changes(b)).toEqual(["new>ready", "ready>draining", "draining>gone"]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("drains until its last call has ended, and is then gone", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const attempts = [harness.begin(harness.node(b)), harness.begin(harness.node(b))] as const;
    harness.apply([a]);
    expect(harness.state(b)).toBe("draining");
    expect(harness.picked()).toEqual(new Set([a]));
    harness.clock.advance(10_000);
    harness.end(attempts[0], success);
    expect(harness.set.nodes.has(b)).toBe(true);
    harness.end(attempts[1], badStatus);
    expect(harness.set.nodes.has(b)).toBe(false);
    harness.clock.advance(60_000);
    expect(harness.gone).toEqual([b]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("is gone after drainMs with its calls still under way, which may end later", () => {
    const harness = new Harness({ connections: { drainMs: 2_000 } });
    harness.apply([a, b]);
    const node = harness.node(b);
    const attempt = harness.begin(node);
    harness.apply([a]);
    harness.clock.advance(1_999);
    expect(harness.gone).toEqual([]);
    harness.clock.advance(1);
    expect(harness.gone).toEqual([b]);
    harness.end(attempt, refused);
    expect(node.inflight).toBe(0);
    expect(harness.gone).toEqual([b]);
    expect([...harness.set.nodes.keys()]).toEqual([a]);
  });

  it("that comes back in time is the same node, which an old drain does not end", () => {
    const harness = new Harness({ connections: { drainMs: 2_000 } });
    harness.apply([a, b]);
    const node = harness.node(b);
    const attempt = harness.begin(node);
    harness.apply([a]);
    harness.clock.advance(1_000);
    harness.apply([a, b]);
    expect(harness.node(b)).toBe(node);
    expect(harness.picked()).toEqual(new Set([a, b]));
    harness.clock.advance(5_000);
    expect(harness.gone).toEqual([]);
    harness.apply([a]);
    harness.clock.advance(500);
    harness.apply([a, b]);
    harness.clock.advance(500);
    harness.apply([a]);
    harness.clock.advance(1_999);
    expect(harness.gone).toEqual([]);
    harness.clock.advance(1);
    expect(harness.gone).toEqual([b]);
    harness.end(attempt, success);
  });

  it("that comes back after it was gone is a new one, and warms up", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const node = harness.node(b);
    harness.apply([a]);
    harness.apply([a, b]);
    expect(harness.node(b)).not.toBe(node);
    expect(harness.state(b)).toBe("warming");
  });

  it("leaves no timer when the set is closed", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.begin(harness.node(b));
    harness.apply([a]);
    expect(harness.clock.pendingTimers).toBe(1);
    harness.set.close();
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("is let go of by the set, even if no call is ever made", async () => {
    const harness = new Harness();
    harness.apply([a]);
    const left: WeakRef<Node>[] = [];
    for (let round = 0; round < 50; round++) {
      harness.apply([a, b]);
      left.push(new WeakRef(harness.node(b)));
      harness.apply([a]);
    }
    const { setFlagsFromString } = await import("node:v8");
    const { runInNewContext } = await import("node:vm");
    setFlagsFromString("--expose-gc");
    // A WeakRef keeps its target until the end of the job in which it was made.
    await new Promise((resolve) => setImmediate(resolve));
    (runInNewContext("gc") as () => void)();
    expect(left.filter((reference) => reference.deref() !== undefined).length).toBeLessThanOrEqual(1);
    expect(harness.set.nodes.size).toBe(1);
  });
});

describe("warm-up", () => {
  it("spares the nodes of the first snapshot, which are not fresh either", () => {
    const harness = new Harness();
    harness.apply([a, { address: b, weight: 4 }]);
    expect([a, b].map((key) => harness.state(key))).toEqual(["ready", "ready"]);
    expect(harness.node(b)).toMatchObject({ weight: 4, fresh: false });
  });

  it("gives a node that joins a growing part of its weight, from a tenth", () => {
    const harness = new Harness();
    harness.apply([a]);
    harness.apply([a, { address: b, weight: 4 }]);
    const joinedAt = harness.now;
    expect(viewOf(harness.node(b), harness.now, 0)).toMatchObject({
      state: "warming",
      weight: 4,
      until: joinedAt + 10_000,
    });
    expect(harness.node(b)).toMatchObject({ weight: 0.4, fresh: true });
    const shares: number[] = [];
    for (const age of [500, 1_000, 2_500, 5_000, 9_000, 10_000]) {
      harness.clock.advance(joinedAt + age - harness.now);
      harness.pick();
      shares.push(harness.node(b).weight / 4);
    }
    expect(shares).toEqual([0.1, 0.1, 0.25, 0.5, 0.9, 1]);
    expect(harness.state(b)).toBe("ready");
    expect(harness.states.at(-1)).toMatchObject({ from: "warming", to: "ready", reason: "warmed up" });
  });

  it("takes a new weight into account at once", () => {
    const harness = new Harness();
    harness.apply([a]);
    harness.apply([a, b]);
    harness.clock.advance(5_000);
    harness.apply([a, { address: b, weight: 10 }]);
    expect(harness.node(b).weight).toBe(5);
  });

  it("does not start anew for a node that is ejected and comes back", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, badStatus, 5);
    harness.clock.advance(5_100);
    harness.end(harness.begin(harness.pick()), success);
    expect(harness.state(a)).toBe("ready");
    expect(harness.node(a).weight).toBe(1);
  });

  it("is off with warmUpMs 0, which leaves the node fresh", () => {
    const harness = new Harness({ health: { warmUpMs: 0 } });
    harness.apply([a]);
    harness.apply([a, b]);
    expect(harness.state(b)).toBe("ready");
    expect(harness.node(b)).toMatchObject({ weight: 1, fresh: true });
    harness.run(b, success);
    expect(harness.node(b).fresh).toBe(false);
  });

  it("treats the nodes that follow an empty first snapshot as the first", () => {
    const harness = new Harness();
    harness.apply([]);
    harness.apply([a]);
    expect(harness.state(a)).toBe("ready");
  });
});

describe("a failing check", () => {
  const failed = "status 503 (3 in a row)";

  it("takes a node out, and tells why", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.check(a, failed);
    expect(viewOf(harness.node(a), harness.now, 0)).toMatchObject({
      state: "down",
      reason: "check failed: status 503 (3 in a row)",
      until: undefined,
    });
    expect(harness.picked()).toEqual(new Set([b, c]));
    expect(harness.states.at(-1)).toMatchObject({
      from: "ready",
      to: "down",
      reason: "check failed: status 503 (3 in a row)",
    });
  });

  it("is told once, and its reason is that of the latest", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.check(a, failed);
    const { picker } = harness.set;
    harness.check(a, "ECONNREFUSED (4 in a row)");
    expect(harness.set.picker).toBe(picker);
    expect(harness.changes(a)).toEqual(["new>ready", "ready>down"]);
    expect(viewOf(harness.node(a), harness.now, 0).reason).toBe("check failed: ECONNREFUSED (4 in a row)");
  });

  it("takes out as many nodes as it finds, whatever the cap", () => {
    const harness = new Harness();
    harness.apply([a, b, c, d]);
    for (const key of [a, b, c]) harness.check(key, failed);
    expect(harness.picked()).toEqual(new Set([d]));
    expect(harness.set.failingOpen).toBe(false);
  });

  it("takes out the last one too, and calls go out to all", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    for (const key of [a, b, c]) harness.check(key, failed);
    expect([a, b, c].map((key) => harness.state(key))).toEqual(["down", "down", "down"]);
    expect(harness.set.failingOpen).toBe(true);
    expect(harness.picked()).toEqual(new Set([a, b, c]));
    harness.check(b);
    expect(harness.set.failingOpen).toBe(false);
    expect(harness.picked()).toEqual(new Set([b]));
  });

  it("leaves nobody to call without failOpen", () => {
    const harness = new Harness({ health: { failOpen: false } });
    harness.apply([a, b]);
    harness.check(a, failed);
    harness.check(b, failed);
    expect(harness.set.failingOpen).toBe(false);
    expect(harness.pick()).toBeUndefined();
    expect(harness.set.describe(harness.now)).toBe("none of 2 nodes may be called (2 down)");
  });

  it("makes calls go out to all when ejection has the rest", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, badStatus, 5);
    harness.check(b, failed);
    expect(harness.set.failingOpen).toBe(true);
    expect(harness.picked()).toEqual(new Set([a, b]));
  });

  it("stands against calls that succeed nevertheless", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const early = harness.begin(harness.node(a));
    harness.check(a, failed);
    harness.end(early, success);
    harness.run(a, success, 3);
    expect(harness.state(a)).toBe("down");
    expect(harness.picked()).toEqual(new Set([b]));
  });

  it("leaves the judging of a node to the check, and begins anew with its record", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 4);
    harness.check(a, failed);
    harness.run(a, badStatus, 10);
    harness.run(a, refused);
    harness.check(a);
    expect(harness.state(a)).toBe("warming");
    expect(harness.node(a)).toMatchObject({ consecutiveFailures: 0, failureRate: 0, strikes: 0 });
    harness.run(a, badStatus, 4);
    expect(harness.state(a)).toBe("warming");
    harness.run(a, badStatus);
    expect(harness.state(a)).toBe("ejected");
  });

  it("shows a drained node as draining, and holds when the drain ends", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.set.setDrained(a, true, harness.now);
    harness.check(a, failed);
    expect(harness.state(a)).toBe("draining");
    harness.set.setDrained(a, false, harness.now);
    expect(harness.state(a)).toBe("down");
    expect(harness.picked()).toEqual(new Set([b]));
  });

  it("reports a suspect as gone", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.apply([a, b, c], [b]);
    harness.check(a, failed);
    expect(harness.seemGone).toEqual([]);
    harness.check(b, failed);
    harness.check(b, failed);
    expect(harness.seemGone).toEqual([b]);
  });

  it("counts for a node that left and comes back while its calls still end, and for no other", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const node = harness.node(b);
    const attempt = harness.begin(node);
    harness.check(b, failed);
    harness.apply([a]);
    harness.apply([a, b]);
    expect(harness.state(b)).toBe("down");
    harness.apply([a]);
    harness.end(attempt, success);
    expect(harness.gone).toEqual([b]);
    harness.apply([a, b]);
    harness.set.checked(node, { healthy: false, detail: failed }, harness.now);
    expect(harness.state(b)).toBe("warming");
  });
});

describe("a check that passes", () => {
  it("changes nothing for a node that serves, nor for the picker", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const { picker } = harness.set;
    harness.run(a, badStatus, 3);
    harness.check(a);
    expect(harness.set.picker).toBe(picker);
    expect(harness.node(a).consecutiveFailures).toBe(3);
    expect(harness.changes(a)).toEqual(["new>ready"]);
  });

  it("brings a node back, which works up to its full weight as a new one does", () => {
    const harness = new Harness();
    harness.apply([a, { address: b, weight: 4 }]);
    harness.check(b, "status 503");
    harness.clock.advance(60_000);
    harness.check(b);
    expect(viewOf(harness.node(b), harness.now, 0)).toMatchObject({
      state: "warming",
      reason: "came back lately",
      until: harness.now + 10_000,
    });
    expect(harness.node(b)).toMatchObject({ weight: 0.4, fresh: true });
    expect(harness.picked()).toEqual(new Set([a, b]));
    harness.clock.advance(5_000);
    harness.pick();
    expect(harness.node(b).weight).toBe(2);
    harness.clock.advance(5_000);
    harness.pick();
    expect(harness.node(b).weight).toBe(4);
    expect(harness.changes(b)).toEqual(["new>ready", "ready>down", "down>warming", "warming>ready"]);
  });

  it("brings it back at once without a warm-up", () => {
    const harness = new Harness({ health: { warmUpMs: 0 } });
    harness.apply([a, b]);
    harness.check(a, "status 503");
    harness.check(a);
    expect(harness.states.at(-1)).toMatchObject({ from: "down", to: "ready", reason: "passes its check" });
    expect(harness.node(a).weight).toBe(1);
  });

  it("never brings back a node that is ejected: only a trial does, one for each penalty", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.check(a);
    harness.run(a, badStatus, 5);
    let trials = 0;
    const penalties: number[] = [];
    const { until: first = 0 } = viewOf(harness.node(a), harness.now, 0);
    for (let end = first; penalties.length < 4; ) {
      penalties.push(end - harness.now);
      while (harness.now < end) {
        harness.check(a);
        expect(harness.state(a)).toBe("ejected");
        expect(harness.picked(3)).not.toContain(a);
        harness.clock.advance(Math.min(1_000, end - harness.now));
      }
      harness.check(a);
      for (let pick = 0; pick < 10; pick++) {
        const node = harness.pick();
        if (node?.key !== a) continue;
        trials++;
        harness.end(harness.begin(node), badStatus);
      }
      end = viewOf(harness.node(a), harness.now, 0).until ?? 0;
    }
    expect(trials).toBe(4);
    expect(penalties).toEqual([5_000, 10_000, 20_000, 40_000]);
    expect(viewOf(harness.node(a), harness.now, 0).reason).toBe("failed its trial: 503; its check passes");
  });

  it("does not bring back a node whose check failed while it was ejected: it needs both", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.run(a, badStatus, 5);
    harness.check(a, "status 503");
    expect(viewOf(harness.node(a), harness.now, 0)).toMatchObject({
      state: "down",
      reason: "check failed: status 503; ejected as well: 5 failures in a row, the last: 503",
    });
    harness.clock.advance(60_000);
    // Its time is up, but its check fails: no trial.
    expect(harness.picked(50)).toEqual(new Set([b, c]));
    expect(harness.state(a)).toBe("down");
    harness.check(a);
    expect(harness.state(a)).toBe("ejected");
    harness.clock.advance(100);
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(a);
    expect(harness.picked(50)).toEqual(new Set([b, c]));
    harness.end(trial, success);
    // What its check took out warms up, whichever of the two came last.
    expect(harness.state(a)).toBe("warming");
    expect(harness.picked()).toEqual(new Set([a, b, c]));
    expect(harness.changes(a)).toEqual([
      "new>ready",
      "ready>ejected",
      "ejected>down",
      "down>ejected",
      "ejected>probing",
      "probing>warming",
    ]);
  });

  it("waits for the check where the trial was under way when it failed", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, badStatus, 5);
    harness.clock.advance(5_100);
    const trial = harness.begin(harness.pick());
    harness.check(a, "status 503");
    harness.end(trial, success);
    expect(viewOf(harness.node(a), harness.now, 0)).toMatchObject({
      state: "down",
      reason: "check failed: status 503",
    });
    expect(harness.picked()).toEqual(new Set([b]));
    harness.check(a);
    expect(harness.state(a)).toBe("warming");
  });

  it("puts off a trial that was due when the check failed, also one that said nothing", () => {
    for (const beganTrial of [false, true]) {
      const harness = new Harness();
      harness.apply([a, b]);
      harness.run(a, badStatus, 5);
      harness.clock.advance(5_100);
      if (beganTrial) {
        const trial = harness.begin(harness.pick());
        harness.check(a, "status 503");
        harness.end(trial, aborted);
      } else {
        harness.set.refresh(harness.now);
        expect(harness.state(a)).toBe("probing");
        harness.check(a, "status 503");
      }
      expect(harness.picked(50)).toEqual(new Set([b]));
      harness.check(a);
      expect(harness.state(a)).toBe("probing");
      expect(harness.pick()?.key).toBe(a);
      expect(harness.picked(50)).toEqual(new Set([b]));
    }
  });

  it("brings the trial of a node that refused forward, and is not enough by itself", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.run(a, refused);
    harness.clock.advance(200);
    expect(harness.picked()).toEqual(new Set([b, c]));
    harness.check(a);
    expect(harness.state(a)).toBe("probing");
    const trial = harness.begin(harness.pick());
    expect(trial.node.key).toBe(a);
    expect(harness.picked(50)).toEqual(new Set([b, c]));
    harness.end(trial, success);
    expect(harness.state(a)).toBe("ready");
    expect(harness.changes(a)).toEqual(["new>ready", "ready>down", "down>probing", "probing>ready"]);
  });

  it("does that once until the node is back, unless its check failed meanwhile", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    const refuseTrial = () => {
      harness.check(a);
      const node = harness.pick();
      if (node?.key !== a) return "no trial";
      harness.end(harness.begin(node), refused);
      return "refused";
    };
    harness.run(a, refused);
    expect(refuseTrial()).toBe("refused");
    expect(refuseTrial()).toBe("no trial");
    harness.check(a, "ECONNREFUSED (3 in a row)");
    expect(refuseTrial()).toBe("refused");
    expect(refuseTrial()).toBe("no trial");
    harness.clock.advance(5_000);
    harness.end(harness.begin(harness.pick()), success);
    harness.run(a, refused);
    expect(refuseTrial()).toBe("refused");
  });

  it("offers no trial of a drained node", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.run(a, refused);
    harness.set.setDrained(a, true, harness.now);
    harness.check(a);
    expect(harness.picked()).toEqual(new Set([b]));
    harness.set.setDrained(a, false, harness.now);
    harness.clock.advance(100);
    expect(harness.pick()?.key).toBe(a);
  });

  it("brings forward the trials of the others when all were out", () => {
    const harness = new Harness({ random: () => 0.5 });
    harness.apply([a, b]);
    harness.run(a, badStatus, 5);
    harness.check(b, "status 503");
    expect(harness.set.failingOpen).toBe(true);
    harness.check(b);
    expect(harness.set.failingOpen).toBe(false);
    expect(viewOf(harness.node(a), harness.now, 0).until).toBe(harness.now + 500);
  });
});

describe("suspects", () => {
  it("stay in use, are shown, and are reported when they seem to be gone", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.apply([a, b, c], [b]);
    expect(harness.state(b)).toBe("suspect");
    expect(harness.picked()).toEqual(new Set([a, b, c]));
    harness.run(b, badStatus);
    expect(harness.seemGone).toEqual([]);
    harness.run(b, failure("timeout", "no answer"));
    expect(harness.seemGone).toEqual([b]);
    harness.run(b, refused);
    expect(harness.seemGone).toEqual([b, b]);
    expect(harness.state(b)).toBe("down");
    harness.run(a, refused);
    expect(harness.seemGone).toEqual([b, b]);
  });

  it("are ready again when discovery names them again", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    harness.apply([a, b, c], [b]);
    harness.apply([a, b, c]);
    expect(harness.changes(b)).toEqual(["new>ready", "ready>suspect", "suspect>ready"]);
  });
});

describe("events", () => {
  it("tell each change of state once, with its reason", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.apply([a, b]);
    harness.run(a, badStatus, 8);
    expect(harness.states).toEqual([
      { service: "orders", address: a, from: "new", to: "ready", reason: "named by discovery" },
      { service: "orders", address: b, from: "new", to: "ready", reason: "named by discovery" },
      {
        service: "orders",
        address: a,
        from: "ready",
        to: "ejected",
        reason: "5 failures in a row, the last: 503",
      },
    ]);
  });
});

describe("what a pick sees", () => {
  it("is refreshed at most every 100 ms", () => {
    const harness = new Harness();
    harness.apply([a, b]);
    harness.pick();
    const node = harness.node(a);
    node.failureRate = 0.5;
    harness.clock.advance(99);
    harness.pick();
    expect(node.failureRate).toBe(0.5);
    harness.clock.advance(1);
    harness.pick();
    expect(node.failureRate).toBeCloseTo(0.5 * Math.exp(-100 / 5_000));
  });

  it("is the same picker as long as nobody comes or goes", () => {
    const harness = new Harness();
    harness.apply([a, b, c]);
    const { picker } = harness.set;
    harness.run(a, success, 10);
    harness.run(b, badStatus, 3);
    expect(harness.set.picker).toBe(picker);
    harness.run(b, refused);
    expect(harness.set.picker).not.toBe(picker);
  });
});
