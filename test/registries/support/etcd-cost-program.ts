/** Measures what a watch of etcd costs, in a process that does nothing else: over 100,000 changes, and over none. */
import { setTimeout as sleep } from "node:timers/promises";
import { etcd } from "../../../src/discovery/etcd.ts";
import { until } from "../../support/until.ts";
import { type Gateway, instanceEntry, putMany } from "./etcd-writer.ts";

export interface CostReport {
  readonly changes: number;
  readonly sets: number;
  /** By how much the heap grew over the changes. */
  readonly heapKib: number;
  readonly idleMs: number;
  /** What the whole process used in that time. */
  readonly idleCpuMs: number;
}

/** As many as etcd takes in one transaction. */
const together = 128;
const rounds = 782;
/** Long enough for a ping and a request for progress. */
const idleMs = 15_000;

const { gc } = globalThis;
const [, , url] = process.argv;
if (gc === undefined || url === undefined)
  throw new Error("run with --expose-gc, and etcd's URL as argument");

const gateway: Gateway = {
  async call(method, body) {
    const response = await fetch(`${url}/v3/${method}`, { method: "POST", body: JSON.stringify(body) });
    return (await response.json()) as Readonly<Record<string, unknown>>;
  },
};

/** Gives 128 of 256 instances weights that they have never had. */
async function change(times: number): Promise<void> {
  for (let round = 0; round < times; round++) {
    const entries = Array.from({ length: together }, (_, index) =>
      instanceEntry((round % 2) * together + index, 1 + Math.floor(Math.random() * 4_000_000_000)),
    );
    await putMany(gateway, entries);
  }
}

async function heapBytes(): Promise<number> {
  for (let pass = 0; pass < 4; pass++) {
    await sleep(50);
    await gc?.();
  }
  return process.memoryUsage().heapUsed;
}

const controller = new AbortController();
let size = -1;
let sets = 0;
const context = {
  service: "orders",
  signal: controller.signal,
  report(error: unknown): never {
    throw error;
  },
};
const watching = (async () => {
  for await (const set of etcd({ endpoints: url }).watch(context)) {
    size = set.length;
    sets++;
  }
})();

// Enough for the compiler and the heap to have settled.
await change(300);
await until("all instances are there", () => size === 2 * together, 20_000);
const before = await heapBytes();
await change(rounds);
const grown = (await heapBytes()) - before;

const cpuBefore = process.cpuUsage();
await sleep(idleMs);
const { user, system } = process.cpuUsage(cpuBefore);

controller.abort();
await watching;
const report: CostReport = {
  changes: rounds * together,
  sets,
  heapKib: grown / 1_024,
  idleMs,
  idleCpuMs: (user + system) / 1_000,
};
console.log(JSON.stringify(report));
