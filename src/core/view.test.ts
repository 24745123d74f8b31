/** Tests which state a node shows when several hold: the precedence of DESIGN.md. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkEndpoint } from "./endpoint.ts";
import { Fleet } from "./fleet.ts";
import { type CheckVerdict, type Health, Node } from "./node.ts";
import { stateOf, viewOf } from "./view.ts";

const out = (state: "down" | "ejected"): Health => ({
  kind: "out",
  state,
  reason: "why",
  since: 0,
  until: 70,
});
const probing: Health = { kind: "probing", from: "down", reason: "was down", since: 5, onTrial: false };

function createNode(weight = 1): Node {
  const endpoint = { address: "http://a", weight, zone: "z", priority: 2, metadata: { v: 1 } };
  return new Node(checkEndpoint(endpoint), new Fleet(), 10, false);
}

describe("stateOf", () => {
  it("is draining before down or ejected, before probing, before warming, before suspect, before ready", () => {
    const facts = fc.record({
      drained: fc.boolean(),
      removed: fc.boolean(),
      weightless: fc.boolean(),
      health: fc.constantFrom<Health>({ kind: "in" }, out("down"), out("ejected"), probing),
      warming: fc.boolean(),
      suspect: fc.boolean(),
      check: fc.constantFrom<CheckVerdict>(
        { kind: "unknown" },
        { kind: "passing" },
        { kind: "failing", detail: "status 503" },
      ),
    });
    fc.assert(
      fc.property(facts, ({ drained, removed, weightless, health, warming, suspect, check }) => {
        const node = createNode(weightless ? 0 : 1);
        node.drainedByProgram = drained;
        node.removedAt = removed ? 1 : undefined;
        node.health = health;
        node.warmUntil = warming ? 100 : 20;
        node.suspect = suspect;
        node.check = check;
        const candidates: [boolean, string][] = [
          [drained || removed || weightless, "draining"],
          [check.kind === "failing" || (health.kind === "out" && health.state === "down"), "down"],
          [health.kind === "out" && health.state === "ejected", "ejected"],
          [health.kind === "probing", "probing"],
          [warming, "warming"],
          [suspect, "suspect"],
          [true, "ready"],
        ];
        const { state, reason } = stateOf(node, 20);
        expect(state).toBe(candidates.find(([holds]) => holds)?.[1]);
        expect(reason === "").toBe(state === "ready");
      }),
    );
  });

  it("tells what the check says beside the outcomes", () => {
    const node = createNode();
    node.check = { kind: "passing" };
    expect(stateOf(node, 20)).toEqual({ state: "ready", reason: "", until: undefined });
    node.health = out("ejected");
    expect(stateOf(node, 20)).toEqual({ state: "ejected", reason: "why; its check passes", until: 70 });
    node.health = probing;
    expect(stateOf(node, 20).reason).toBe("was down; its check passes");
    node.check = { kind: "failing", detail: "status 503 (3 in a row)" };
    expect(stateOf(node, 20)).toEqual({
      state: "down",
      reason: "check failed: status 503 (3 in a row); down as well: was down",
      until: undefined,
    });
    node.health = { kind: "in" };
    expect(stateOf(node, 20).reason).toBe("check failed: status 503 (3 in a row)");
  });

  it("says until when where that ends by itself", () => {
    const node = createNode();
    node.warmUntil = 100;
    expect(stateOf(node, 20)).toEqual({ state: "warming", reason: "joined lately", until: 100 });
    expect(stateOf(node, 100).state).toBe("ready");
    node.health = out("ejected");
    expect(stateOf(node, 20)).toEqual({ state: "ejected", reason: "why", until: 70 });
    node.health = probing;
    expect(stateOf(node, 20)).toEqual({ state: "probing", reason: "was down", until: undefined });
    node.drainedByProgram = true;
    expect(stateOf(node, 20).until).toBeUndefined();
  });
});

describe("viewOf", () => {
  it("is plain data in wall time, with the configured weight", () => {
    const node = createNode(4);
    node.weight = 0.4;
    node.health = out("down");
    node.begin();
    expect(viewOf(node, 20, 1_000_000)).toEqual({
      address: "http://a",
      weight: 4,
      zone: "z",
      priority: 2,
      metadata: { v: 1 },
      state: "down",
      reason: "why",
      until: 1_000_070,
      inflight: 1,
      latencyMs: 1,
      failureRate: 0,
      calls: 0,
      failures: 0,
      since: 1_000_010,
    });
  });
});
