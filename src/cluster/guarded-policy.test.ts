/** Tests a policy that throws, by itself and in a cluster in virtual time. */
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import type { Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { success } from "../core/outcome.ts";
import { list } from "../discovery/list.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { Harness, releaseHarness } from "../testing/call-harness.ts";
import { createCall, createNodes } from "../testing/policy-contract.ts";
import { GuardedPolicy } from "./guarded-policy.ts";

const [a, b, c] = createNodes([1, 1, 1]) as [Node, Node, Node];
const broken = new TypeError("no such tenant");
const get = { method: "GET" };

/** In turns, until one of its methods is told to throw. */
class Brittle implements Policy {
  readonly name: string = "brittle";
  readonly throws: Set<"build" | "candidates" | "observe" | "pick"> = new Set();
  /** What `build` was given as the picker before. */
  readonly previous: (Picker | undefined)[] = [];
  readonly #inner: Policy = roundRobin({ random: () => 0 });

  build(nodes: readonly Node[], previous?: Picker): Picker {
    this.previous.push(previous);
    this.#check("build");
    const picker = this.#inner.build(nodes);
    return {
      pick: (call) => {
        this.#check("pick");
        return picker.pick(call);
      },
    };
  }

  candidates(nodes: readonly Node[]): readonly Node[] {
    this.#check("candidates");
    return nodes.slice(0, 1);
  }

  observe(): void {
    this.#check("observe");
  }

  #check(method: "build" | "candidates" | "observe" | "pick"): void {
    if (this.throws.has(method)) throw broken;
  }
}

let warned: MockInstance<typeof process.emitWarning>;
const warnings = (): string[] => warned.mock.calls.map(([warning]) => String(warning));

beforeEach(() => {
  warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
});
afterEach(() => {
  warned.mockRestore();
  releaseHarness();
});

function guarded(policy: Policy): GuardedPolicy {
  return new GuardedPolicy({ name: "orders", policy, random: () => 0 });
}

function take(picker: Picker, calls: number, tried: readonly Node[] = []): (Node | undefined)[] {
  return Array.from({ length: calls }, (_, call) => picker.pick(createCall(call, tried)));
}

describe("a build that throws", () => {
  it("leaves the picker before in charge, of those that may be called now", () => {
    const policy = new Brittle();
    const guard = guarded(policy);
    const first = guard.build([a, b], undefined);
    policy.throws.add("build");
    expect(take(guard.build([a, b], first), 4)).toEqual([a, b, a, b]);
    const without = guard.build([b, c], first);
    // In the place of what has gone the others come in turn.
    expect(take(without, 4)).toEqual([b, b, c, b]);
    expect(take(without, 2, [b])).toEqual([c, c]);
    expect(take(without, 1, [b, c])).toEqual([undefined]);
    expect(warnings()).toEqual([
      "PolicyWarning: orders: build of the policy brittle threw: TypeError: no such tenant",
    ]);
  });

  it("is forgotten with the next that does not, which is given what the policy itself built before", () => {
    const policy = new Brittle();
    const guard = guarded(policy);
    const first = guard.build([a], undefined);
    policy.throws.add("build");
    const standIn = guard.build([a, b], guard.build([a, b], first));
    policy.throws.clear();
    expect(take(guard.build([b, c], standIn), 2)).toEqual([b, c]);
    expect(policy.previous).toEqual([undefined, first, first, first]);
  });

  it("has a picker of another set stand in where there is none to follow", () => {
    const policy = new Brittle();
    const guard = guarded(policy);
    guard.build([a, b], undefined);
    policy.throws.add("build");
    expect(take(guard.build([b, c], undefined), 4)).toEqual([b, b, c, b]);
  });

  it("fails calls with what it threw while nothing was ever built", () => {
    const policy = new Brittle();
    policy.throws.add("build");
    const guard = guarded(policy);
    const none = guard.build([a], undefined);
    expect(() => none.pick(createCall())).toThrow(broken);
    expect(() => guard.build([a], none).pick(createCall())).toThrow(broken);
    policy.throws.clear();
    expect(take(guard.build([a], none), 1)).toEqual([a]);
  });
});

it("takes all nodes for those of a subset that cannot be told, and misses what cannot be observed", () => {
  const policy = new Brittle();
  const guard = guarded(policy);
  expect(guard.candidates([a, b])).toEqual([a]);
  policy.throws.add("candidates").add("observe");
  for (let call = 0; call < 3; call++) {
    expect(guard.candidates([a, b])).toEqual([a, b]);
    guard.observe(a, 1, success, 0);
  }
  expect(warnings()).toHaveLength(2);
});

describe("in a cluster", () => {
  it("no call is lost to an observe or a build that throws", async () => {
    const policy = new Brittle();
    const discovery = list(["http://a", "http://b"]);
    const harness = new Harness({ policy, discovery });
    policy.throws.add("observe").add("build");
    expect(await harness.resultOf(({ node }) => node.key, get)).toBe("http://a");
    discovery.set(["http://b", "http://c"]);
    harness.cluster.drain("http://b");
    expect(await harness.resultOf(({ node }) => node.key, get)).toBe("http://c");
    // The first fails, and its node is taken out meanwhile.
    harness.cluster.undrain("http://b");
    harness.tried.length = 0;
    const answer = await harness.resultOf(({ node, attempt }) => {
      if (attempt === 1) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
      return node.key;
    }, get);
    expect(answer).toBe(harness.tried[1]);
    expect(harness.tried).toHaveLength(2);
    expect(harness.inflight).toBe(0);
    expect(warnings()).toHaveLength(2);
  });

  it("a pick that throws for a retry fails that call, which is over then", async () => {
    const policy = new Brittle();
    const harness = new Harness({ policy });
    const other = harness.call((attempt) => harness.after(100, attempt, () => "answered"));
    const call = harness.call(() => {
      policy.throws.add("pick");
      throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
    }, get);
    await harness.clock.advanceAsync(200);
    expect(call.ended).toEqual({ error: broken, at: 12.5 });
    expect(other.ended).toMatchObject({ value: "answered" });
    await harness.cluster.close();
  });

  it("calls that wait for discovery each fail by a pick of their own, and the cluster can be closed", async () => {
    const policy = new Brittle();
    policy.throws.add("pick");
    let name = (): void => {};
    const named = new Promise<void>((resolve) => {
      name = resolve;
    });
    const discovery = {
      async *watch() {
        await named;
        yield [{ address: "http://a" }];
      },
    };
    const harness = new Harness({ policy, discovery });
    const calls = [1, 2].map(() => harness.call(() => "answered"));
    name();
    await harness.clock.advanceAsync(1_000);
    expect(calls.map(({ ended }) => ended?.error)).toEqual([broken, broken]);
    await harness.cluster.close();
  });

  it("a pick that throws for a hedge leaves the call to its first attempt", async () => {
    const policy = new Brittle();
    const harness = new Harness({ policy, hedge: { afterMs: 50 } });
    const call = harness.call((attempt) => harness.after(100, attempt, () => attempt.node.key), get);
    policy.throws.add("pick");
    await harness.clock.advanceAsync(200);
    expect(call.ended).toEqual({ value: "http://a", at: 100 });
    expect(warnings()).toEqual([
      "PolicyWarning: orders: pick of the policy brittle threw: TypeError: no such tenant",
    ]);
  });
});
