/** Measures what watching Nacos costs, in a process that does nothing else: over many changes, and over none. */
import { setTimeout as sleep } from "node:timers/promises";
import { nacos } from "../../../src/discovery/nacos.ts";
import type { CostReport } from "./cost-report.ts";
import { host, ScriptedNacos } from "./scripted-nacos.ts";

const instances = 20;
const warmUp = 3_000;
const changes = 100_000;
const idleServices = 10;
const idleMs = 10_000;

const { gc } = globalThis;
const [, , address] = process.argv;
if (gc === undefined || address === undefined)
  throw new Error("run with --expose-gc, and Nacos' address as argument");

async function heapBytes(): Promise<number> {
  for (let pass = 0; pass < 4; pass++) {
    await sleep(50);
    await gc?.();
  }
  return process.memoryUsage().heapUsed;
}

const report = (error: unknown): never => {
  throw error;
};

// A real server waits before each push; this one is in the same process, and what it keeps is counted, too.
const server = await ScriptedNacos.start();
const end = new AbortController();
let sets = 0;
let before = 0;
let grown = 0;
for await (const _ of nacos({ servers: server.address }).watch({
  service: "orders",
  signal: end.signal,
  report,
})) {
  sets++;
  if (sets === warmUp) before = await heapBytes();
  // What a test wants to know, and a server need not.
  server.sent.length = 0;
  server.requests.length = 0;
  if (sets < warmUp + changes) {
    // One weight that it never had.
    server.publish(
      Array.from({ length: instances }, (_, number) => host(number, { weight: number === 0 ? sets : 1 })),
    );
    continue;
  }
  grown = (await heapBytes()) - before;
  end.abort();
}
await server[Symbol.asyncDispose]();

const idle = new AbortController();
const client = nacos({ servers: address });
let first = 0;
const watches = Array.from({ length: idleServices }, async (_, number) => {
  for await (const _ of client.watch({ service: `service-${number}`, signal: idle.signal, report })) first++;
});
while (first < idleServices) await sleep(50);
await sleep(1_000);
const cpuBefore = process.cpuUsage();
await sleep(idleMs);
const { user, system } = process.cpuUsage(cpuBefore);
idle.abort();
await Promise.all(watches);

const result: CostReport = {
  changes,
  heapKib: grown / 1_024,
  idleServices,
  idleMs,
  idleCpuMs: (user + system) / 1_000,
};
console.log(JSON.stringify(result));
