/**
 * What one pick costs: time for each policy and size of set, and memory.
 *
 * Run alone: `npx node bench/picks.ts`.
 */
import { setTimeout } from "node:timers/promises";
import type { CallInfo, Picker, Policy } from "../src/core/contracts.ts";
import type { Node } from "../src/core/node.ts";
import { createSeededRandom } from "../src/core/random.ts";
import { leastCost } from "../src/policy/least-cost.ts";
import { leastRequest } from "../src/policy/least-request.ts";
import { maglev } from "../src/policy/maglev.ts";
import { peakEwma } from "../src/policy/peak-ewma.ts";
import { random } from "../src/policy/random.ts";
import { ringHash } from "../src/policy/ring-hash.ts";
import { roundRobin } from "../src/policy/round-robin.ts";
import { subset } from "../src/policy/subset.ts";
import type { Schedule } from "../src/policy/table-keeper.ts";
import { weightedRoundRobin } from "../src/policy/weighted-round-robin.ts";
import { createCall, createNodes } from "../src/testing/policy-contract.ts";
import { measureHeap, timeOperation } from "./measure.ts";

const policies: readonly (() => Policy)[] = [
  leastCost,
  leastRequest,
  peakEwma,
  roundRobin,
  weightedRoundRobin,
  random,
  // Nothing else runs between the picks: all slices at once.
  () => ringHash({ schedule: (run) => run() }),
  () => maglev({ schedule: (run) => run() }),
  () => subset({ size: 20 }),
];
/** The marks for hashing (issue 3): a pick at 10,000 nodes, and what a rebuild may keep the event loop. */
const hashPolicies = [ringHash, maglev];
const markSize = 10_000;
const pickMarkNs = 300;
const blockMarkMs = 10;
const rebuilds = 10;
/** Different keys, so that a pick finds the places of the table in no cache. */
const keys = 4_096;
const sizes = [10, 64, 1_000, 10_000];
/** The set whose picks the heap is measured over: large enough that sampling takes part. */
const heapSize = 100;
const heapPicks = 10_000_000;

/** Measures all policies; takes about a minute and a half. Returns a Markdown section. */
export async function benchPicks(): Promise<string> {
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
  lines.push(
    "",
    `Hashing at ${markSize.toLocaleString("en")} nodes, each call with a key of its own: a pick (mark ${pickMarkNs} ns), and`,
    `the longest that the event loop was kept in ${rebuilds} rebuilds, by a build, a slice or a pick in between (mark ${blockMarkMs} ms):`,
    "",
    "| policy | pick, ns | longest block, ms | longest of the median rebuild, ms | slices of a rebuild | work of a rebuild, ms |",
    "|---|---:|---:|---:|---:|---:|",
  );
  for (const createPolicy of hashPolicies) lines.push(await benchHashing(createPolicy));
  return `${lines.join("\n")}\n`;
}

/** Slices are run by hand, so that each block of the loop is timed by itself, and no other work counts as one. */
async function benchHashing(
  createPolicy: (options: { readonly schedule: Schedule }) => Policy,
): Promise<string> {
  const queue: (() => void)[] = [];
  const policy = createPolicy({ schedule: (run) => queue.push(run) });
  const calls = Array.from({ length: keys }, (_, index) => createCall(index));
  const nodes = busyNodes(markSize, false);
  const fewer = nodes.filter((_, index) => index % 100 !== 5);
  let longestMs = 0;
  const longest: number[] = [];
  let totalMs = 0;
  let slices = 0;
  const block = (run: () => void): void => {
    const start = performance.now();
    run();
    const elapsedMs = performance.now() - start;
    longestMs = Math.max(longestMs, elapsedMs);
    totalMs += elapsedMs;
  };
  let picker: Picker | undefined;
  for (let rebuild = 0; rebuild <= rebuilds; rebuild++) {
    // The first is the warm-up.
    if (rebuild === 1) [totalMs, slices] = [0, 0];
    block(() => {
      picker = policy.build(rebuild % 2 === 0 ? nodes : fewer, picker);
    });
    block(() => picker?.pick(calls[0] as CallInfo));
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) {
      slices++;
      // The collector's own threads need the time that the pauses of a real rebuild give them.
      await setTimeout(1);
      block(run);
      block(() => picker?.pick(calls[slices % keys] as CallInfo));
    }
    if (rebuild > 0) longest.push(longestMs);
    longestMs = 0;
  }
  longest.sort((left, right) => left - right);
  const { median } = timeOperation((times) => {
    for (let pick = 0; pick < times; pick++) picker?.pick(calls[pick % keys] as CallInfo);
  });
  const marked = (value: number, mark: number, digits: number): string =>
    `${value.toFixed(digits)}${value > mark ? " (above)" : ""}`;
  return `| ${policy.name} | ${marked(median, pickMarkNs, 0)} | ${marked(longest.at(-1) as number, blockMarkMs, 2)} | ${(longest[rebuilds >> 1] as number).toFixed(2)} | ${slices / rebuilds} | ${(totalMs / rebuilds).toFixed(1)} |`;
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

if (import.meta.main) console.log(await benchPicks());
