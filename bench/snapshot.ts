/**
 * What a change of the set costs: a snapshot of 10,000 endpoints with 1% changed, applied with leastCost, and the heap
 * that a node without connections takes.
 *
 * Run alone: `npx node bench/snapshot.ts`.
 */
import { getHeapStatistics } from "node:v8";
import { Cluster } from "../src/cluster/cluster.ts";
import type { Discovery } from "../src/core/contracts.ts";
import type { Endpoint } from "../src/core/endpoint.ts";
import { leastCost } from "../src/policy/least-cost.ts";
import { exposeCollector } from "./measure.ts";
import { median, quantile } from "./statistics.ts";

const size = 10_000;
const changes = 60;
const warmUps = 10;
const collect = exposeCollector();

/** What a registry sends: new objects each time, equal in 99 of 100. */
function snapshot(version: number): Endpoint[] {
  return Array.from({ length: size }, (_, index) => {
    const replaced = index % 100 === version % 100;
    return {
      address: `http://10.${replaced ? 100 + (version % 100) : 1}.${index >> 8}.${index & 255}:8080`,
      weight: 1,
      metadata: { version: "1.2.3", rack: `r${index % 40}` },
    };
  });
}

async function timeSnapshots(): Promise<number[]> {
  // A source that hands its snapshots over at once: a registry's arrive the same way, after a debounce.
  let push: (endpoints: readonly Endpoint[]) => void = () => {};
  const source: Discovery = {
    async *watch() {},
    subscribe(apply) {
      push = apply;
      apply(snapshot(0));
      return () => {};
    },
  };
  const cluster = new Cluster({ name: "orders", discovery: source, policy: leastCost() });
  const times: number[] = [];
  for (let version = 1; version <= warmUps + changes; version++) {
    const next = snapshot(version);
    const start = performance.now();
    push(next);
    const elapsedMs = performance.now() - start;
    if (cluster.nodes.length !== size) throw new Error(`${cluster.nodes.length} nodes instead of ${size}`);
    if (version > warmUps) times.push(elapsedMs);
  }
  await cluster.close();
  return times;
}

async function heapPerNode(): Promise<number> {
  // The endpoints themselves belong to whoever made them.
  const endpoints = snapshot(0);
  const warmUp = new Cluster({ name: "warm-up", discovery: endpoints.slice(0, 100) });
  await warmUp.close();
  collect();
  const before = getHeapStatistics();
  const cluster = new Cluster({ name: "orders", discovery: endpoints });
  collect();
  const after = getHeapStatistics();
  const bytes =
    after.used_heap_size - before.used_heap_size + (after.external_memory - before.external_memory);
  if (cluster.nodes.length !== size) throw new Error("nodes are missing");
  await cluster.close();
  return bytes / size;
}

export async function benchSnapshot(): Promise<string> {
  const times = await timeSnapshots();
  const bytes = await heapPerNode();
  return [
    "## Snapshots and memory",
    "",
    "| what | figure | mark |",
    "|---|---|---|",
    `| snapshot of ${size.toLocaleString("en")} endpoints, 1% changed, checked and applied with leastCost | median ${median(times).toFixed(1)} ms, 95% of ${changes} within ${quantile(times, 0.95).toFixed(1)} ms | 20 ms |`,
    `| heap for a node without connections (${size.toLocaleString("en")} nodes) | ${Math.round(bytes).toLocaleString("en")} bytes | 4,096 bytes |`,
  ].join("\n");
}

if (import.meta.main) console.log(await benchSnapshot());
