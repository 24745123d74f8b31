/** A policy in the shadow of another: what it is told, what it may not change, and the report. */
import { expect, test } from "vitest";
import type { Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { success } from "../core/outcome.ts";
import { createCall, createNodes, equalWeights } from "../testing/policy-contract.ts";
import { roundRobin } from "./round-robin.ts";
import { withShadow } from "./shadow.ts";
import { isExplainable } from "./shares.ts";

const inTurn = (): Policy => roundRobin({ random: () => 0 });
const alwaysFirst: Policy = {
  name: "alwaysFirst",
  build: (nodes) => ({ pick: (call) => nodes.find((node) => !call.tried.includes(node)) }),
};

test("picks are the real policy's, over changes of the set as well", () => {
  const nodes = createNodes(equalWeights(5));
  const [real, shadowed] = [inTurn(), withShadow(inTurn(), alwaysFirst)];
  let [picker, other] = [real.build(nodes), shadowed.build(nodes)];
  for (let call = 0; call < 100; call++) {
    expect(other.pick(createCall())).toBe(picker.pick(createCall()));
    if (call % 7 !== 0) continue;
    const set = nodes.slice(call % 3);
    [picker, other] = [real.build(set, picker), shadowed.build(set, other)];
  }
});

test("the report counts picks that differ, and the share of each node", () => {
  const [a, b] = createNodes([1, 1]) as [Node, Node];
  const policy = withShadow(inTurn(), alwaysFirst);
  expect(policy.report).toMatchObject({ picks: 0, differing: 0, nodes: [] });
  const picker = policy.build([a, b]);
  for (let call = 0; call < 10; call++) picker.pick(createCall());
  const { report } = policy;
  expect(report).toEqual({
    policy: "roundRobin",
    shadow: "alwaysFirst",
    picks: 10,
    differing: 5,
    nodes: [
      { address: a.key, share: 0.5, shadowShare: 1 },
      { address: b.key, share: 0.5, shadowShare: 0 },
    ],
  });
  expect(String(report).split("\n")).toEqual([
    "alwaysFirst in the shadow of roundRobin: another node in 5 of 10 picks (50.0%)",
    "node               roundRobin  alwaysFirst",
    "http://10.0.0.1:1       50.0%       100.0%",
    "http://10.0.0.1:2       50.0%         0.0%",
  ]);
  picker.pick(createCall(0, [a, b]));
  expect(report.picks).toBe(10);
  expect(policy.report.picks).toBe(10);
});

test("a shadow that throws is asked no more, and fails no call", () => {
  const [a, b] = createNodes([1, 1]) as [Node, Node];
  for (const method of ["build", "pick", "observe"] as const) {
    let asked = 0;
    const ask = (what: string): void => {
      asked++;
      if (what === method) throw new TypeError("no such tenant");
    };
    const policy = withShadow(inTurn(), {
      name: "brittle",
      build(nodes) {
        ask("build");
        return {
          pick() {
            ask("pick");
            return nodes[0];
          },
        };
      },
      observe: () => ask("observe"),
    });
    let picker = policy.build([a, b]);
    const picked = [1, 2, 3].map(() => {
      const node = picker.pick(createCall());
      policy.observe?.(a, 1, success, 0);
      picker = policy.build([a, b], picker);
      return node;
    });
    expect(picked).toEqual([a, b, a]);
    expect(asked).toBe(["build", "pick", "observe"].indexOf(method) + 1);
    expect(policy.report.error).toEqual(new TypeError("no such tenant"));
    const [, second] = String(policy.report).split("\n");
    expect(second).toBe("brittle threw, and was asked no more: TypeError: no such tenant");
  }
});

test("a node that is out for a while keeps its counts; removed ones do not add up for ever", () => {
  const policy = withShadow(inTurn(), inTurn());
  const nodes = createNodes(equalWeights(1_000));
  let picker = policy.build(nodes.slice(0, 2));
  picker.pick(createCall());
  for (let index = 2; index < nodes.length; index++) {
    const leaving = nodes[index - 1] as Node;
    leaving.removedAt = index;
    picker = policy.build([nodes[0] as Node, nodes[index] as Node], picker);
    for (let call = 0; call < 2; call++) picker.pick(createCall());
  }
  expect(policy.report.nodes.length).toBeLessThan(250);
  expect(policy.report.nodes.some(({ address }) => address === nodes[0]?.key)).toBe(true);
});

test("both are told of attempts", () => {
  const told: string[] = [];
  const learning = (name: string): Policy => ({
    ...alwaysFirst,
    name,
    observe: (node, latencyMs, outcome, now) =>
      told.push(`${name} ${node.key} ${latencyMs} ${outcome.kind} ${now}`),
  });
  const [node] = createNodes([1]) as [Node];
  withShadow(learning("real"), learning("shadow")).observe?.(node, 3, success, 9);
  expect(told).toEqual([`real ${node.key} 3 success 9`, `shadow ${node.key} 3 success 9`]);
  withShadow(alwaysFirst, inTurn()).observe?.(node, 3, success, 9);
});

test("it explains itself as the real policy does, or not at all", () => {
  const nodes = createNodes([1, 1]) as [Node, Node];
  const picker = withShadow(inTurn(), alwaysFirst).build(nodes);
  if (!isExplainable(picker)) throw new Error("round robin explains itself");
  expect(picker.shares(createCall()).get(nodes[0])).toBe(1);
  expect(isExplainable(withShadow(alwaysFirst, inTurn()).build(nodes))).toBe(false);
});
