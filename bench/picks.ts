/**
 * What one pick costs: time for each policy and size of set, and memory.
 *
 * Run alone: `npx node bench/picks.ts`.
 */
import type { CallInfo, Picker, Policy } from "../src/core/contracts.ts";
import type { Node } from "../src/core/node.ts";
import { createSeededRandom } from "../src/core/random.ts";
import { leastCost } from "../src/policy/least-cost.ts";
import { leastRequest } from "../src/policy/least-request.ts";
import { random } from "../src/policy/random.ts";
import { roundRobin } from "../src/policy/round-robin.ts";
import { weightedRoundRobin } from "../src/policy/weighted-round-robin.ts";
import { createCall, createNodes } from "../src/testing/policy-contract.ts";
import { measureHeap, timeOperation } from "./measure.ts";

const policies: readonly (() => Policy)[] = [leastCost, leastRequest, roundRobin, weightedRoundRobin, random];
const sizes = [10, 64, 1_000, 10_000];
/** The set whose picks the heap is measured over: large enough that sampling takes part. */
const heapSize = 100;
const heapPicks = 10_000_000;

/** Measures all policies; takes about three quarters of a minute. Returns a Markdown section. */
export function benchPicks(): string {
  const lines = [
    "## Picks",
    "",
    `Node ${process.version}, ${process.arch}. Nanoseconds for one pick: median of 9 rounds (fastest to slowest).`,
    "Each node has its own latency, failure rate and calls in flight; weights are equal, and 1 to 10 where it says so.",
    "",
    `| policy | ${sizes.map((size) => `${size.toLocaleString("en")} nodes`).join(" | ")} |`,
    `|---|${sizes.map(() => "---:|").join("")}`,
  ];
  for (const unequal of [false, true]) {
    for (const createPolicy of policies) {
      const policy = createPolicy();
      const cells = sizes.map((size) => timePicks(policy, size, unequal));
      lines.push(`| ${policy.name}${unequal ? ", weights 1 to 10" : ""} | ${cells.join(" | ")} |`);
    }
  }
  lines.push(
    "",
    "Milliseconds to build the picker of a changed set from the one before:",
    "",
    `| policy | ${sizes.map((size) => `${size.toLocaleString("en")} nodes`).join(" | ")} |`,
    `|---|${sizes.map(() => "---:|").join("")}`,
  );
  for (const createPolicy of policies) {
    const policy = createPolicy();
    lines.push(`| ${policy.name} | ${sizes.map((size) => timeBuild(policy, size)).join(" | ")} |`);
  }
  lines.push(
    "",
    `Bytes for one pick, over ${heapPicks.toLocaleString("en")} picks of ${heapSize} nodes:`,
    "",
    "| policy | kept after collection | allocated |",
    "|---|---:|---:|",
  );
  for (const createPolicy of policies) {
    const policy = createPolicy();
    const picker = policy.build(busyNodes(heapSize, false));
    const { kept, allocated } = measureHeap(repeatPick(picker), heapPicks);
    lines.push(`| ${policy.name} | ${kept.toFixed(4)} | ${allocated.toFixed(4)} |`);
  }
  return `${lines.join("\n")}\n`;
}

function timePicks(policy: Policy, size: number, unequal: boolean): string {
  const picker = policy.build(busyNodes(size, unequal));
  const { median, fastest, slowest } = timeOperation(repeatPick(picker));
  return `${show(median)} (${show(fastest)} to ${show(slowest)})`;
}

function timeBuild(policy: Policy, size: number): string {
  const nodes = busyNodes(size, true);
  const fewer = nodes.filter((_, index) => index % 100 !== 5);
  let picker = policy.build(nodes);
  let round = 0;
  const { median } = timeOperation((times) => {
    for (let build = 0; build < times; build++) {
      picker = policy.build(round++ % 2 === 0 ? fewer : nodes, picker);
    }
  });
  return (median / 1e6).toFixed(3);
}

function repeatPick(picker: Picker): (times: number) => void {
  const call: CallInfo = createCall();
  return (times) => {
    for (let pick = 0; pick < times; pick++) {
      if (picker.pick(call) === undefined) throw new Error("nothing was picked");
    }
  };
}

/** Nodes as a working client has them: half idle, latencies within a factor of two, some that fail now and then. */
function busyNodes(size: number, unequal: boolean): Node[] {
  const chance = createSeededRandom(size);
  const nodes = createNodes(
    Array.from({ length: size }, () => (unequal ? 1 + Math.floor(10 * chance()) : 1)),
  );
  for (const node of nodes) {
    for (let begun = Math.floor(4 * chance()) - 1; begun > 0; begun--) node.begin();
    node.latencyMs = 10 + 10 * chance();
    node.failureRate = chance() < 0.2 ? 0.05 * chance() : 0;
  }
  return nodes;
}

function show(nanoseconds: number): string {
  return nanoseconds.toLocaleString("en", { maximumFractionDigits: nanoseconds < 100 ? 1 : 0 });
}

if (import.meta.main) console.log(benchPicks());
