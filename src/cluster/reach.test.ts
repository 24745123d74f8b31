/** Tests picks among the nodes that a transport is connected to. */
import { expect, it } from "vitest";
import { Attempt } from "../core/attempt.ts";
import { checkEndpoint } from "../core/endpoint.ts";
import type { Node } from "../core/node.ts";
import { failure } from "../core/outcome.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { rulesOf } from "./call-rules.ts";
import { NodeSet } from "./node-set.ts";
import { resolveOptions } from "./options.ts";
import { Reach } from "./reach.ts";
import type { TrialCall } from "./trials.ts";

const addresses = ["http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3"];
const clock = (): ManualClock => new ManualClock(1_000);

function setUp() {
  const time = clock();
  const options = resolveOptions({
    name: "orders",
    discovery: [],
    clock: time,
    random: () => 0,
    policy: roundRobin({ random: () => 0 }),
    health: { ejection: { consecutiveFailures: 1 }, warmUpMs: 0 },
  });
  const set = new NodeSet(options, () => {});
  set.apply(
    { endpoints: addresses.map((address) => checkEndpoint(address)), suspects: new Set() },
    time.now(),
  );
  const reach = new Reach(set, options);
  const nodes = [...set.nodes.values()] as [Node, Node, Node];
  for (const node of nodes) reach.wanted.add(node);
  const call: TrialCall = {
    method: "POST",
    path: "/a.B/C",
    canRetry: true,
    rules: rulesOf(options),
    tried: [],
    header: () => undefined,
  };
  const pick = (): Node | undefined => set.pick(call, time.now(), reach);
  const fail = (node: Node): void => {
    const attempt = new Attempt(node, 1, time.now(), 0);
    set.begun(attempt);
    const outcome = failure("status", "INTERNAL");
    if (attempt.end(outcome, time.now(), 0)) set.settled(attempt, outcome, time.now());
  };
  return { time, set, reach, nodes, pick, fail };
}

it("takes none before a node is connected, and then none but those", () => {
  const { reach, nodes, pick } = setUp();
  reach.rebuild(true);
  expect(pick()).toBeUndefined();
  reach.ready.add(nodes[1]);
  reach.rebuild(true);
  expect([pick(), pick()]).toEqual([nodes[1], nodes[1]]);
});

it("takes nodes that are out when no other is connected, if it may", () => {
  const { reach, nodes, pick, fail } = setUp();
  reach.ready.add(nodes[0]);
  fail(nodes[0]);
  reach.rebuild(false);
  expect(pick()).toBeUndefined();
  reach.rebuild(true);
  expect(pick()).toBe(nodes[0]);
});

it("makes trials only of nodes that are connected", () => {
  const { time, reach, nodes, pick, fail } = setUp();
  fail(nodes[0]);
  reach.ready.add(nodes[1]);
  reach.rebuild(true);
  time.advance(6_000);
  expect([pick(), pick(), pick()]).toEqual([nodes[1], nodes[1], nodes[1]]);
  reach.ready.add(nodes[0]);
  reach.rebuild(true);
  expect(pick()).toBe(nodes[0]);
  expect(nodes[0].health).toMatchObject({ kind: "probing", onTrial: true });
});

it("tells of a node that cannot be connected, and tries it as soon as it can be", () => {
  const { time, set, reach, nodes, pick } = setUp();
  const gone = failure("refused", "ECONNREFUSED");
  set.unreached(nodes[2], gone, time.now());
  expect(nodes[2].health).toMatchObject({ kind: "out", state: "down" });
  for (const node of nodes) reach.ready.add(node);
  set.reached(nodes[2], time.now());
  reach.rebuild(true);
  expect(pick()).toBe(nodes[2]);
});

it("takes an ejected node that refuses connections for down, and an unsuccessful return for gone again", () => {
  const { time, set, nodes, fail } = setUp();
  const gone = failure("refused", "ECONNREFUSED");
  fail(nodes[0]);
  expect(nodes[0].health).toMatchObject({ state: "ejected" });
  set.unreached(nodes[0], failure("connect", "connect timeout"), time.now());
  expect(nodes[0].health).toMatchObject({ state: "ejected" });
  set.unreached(nodes[0], gone, time.now());
  expect(nodes[0].health).toMatchObject({ kind: "out", state: "down" });
  set.reached(nodes[0], time.now());
  expect(nodes[0].health).toMatchObject({ kind: "probing" });
  set.unreached(nodes[0], gone, time.now());
  expect(nodes[0].health).toMatchObject({ kind: "out", state: "down" });
});

it("says when other nodes may be called", () => {
  const { time, set, nodes } = setUp();
  let changes = 0;
  set.rebuildListeners.add(() => changes++);
  set.setDrained(nodes[0].key, true, time.now());
  expect(changes).toBe(1);
  expect(set.eligible).toEqual([nodes[1], nodes[2]]);
});
