/** A program that lets many endpoints come and go while it calls them, closes, and reports what it still holds. */
import { setTimeout as sleep } from "node:timers/promises";
import { Balancer, list } from "../../src/index.ts";

export interface ChurnReport {
  readonly endpoints: number;
  readonly calls: number;
  readonly failed: number;
  readonly heapGrowth: number;
  readonly nodesAtEnd: number;
  readonly connections: number;
  /** What may keep this process alive, before the first balancer was made and after the last one was closed. */
  readonly resourcesBefore: readonly string[];
  readonly resourcesAfter: readonly string[];
}

/** The server listens on every address of 127.0.0.0/8, so each of them can be an endpoint that answers. */
const [port = "", total = ""] = process.argv.slice(2);
/** Announced at one time. */
const atOnce = 100;
const callsAtOnce = 10;

let nextEndpoint = 0;
let calls = 0;
let failed = 0;
let connections = 0;

function freshEndpoints(): string[] {
  return Array.from({ length: atOnce }, () => {
    const number = nextEndpoint++;
    return `http://127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}:${port}`;
  });
}

async function call(balancer: Balancer): Promise<void> {
  calls++;
  try {
    const { body } = await balancer.request({ path: "/", method: "GET" });
    await body.text();
  } catch {
    failed++;
  }
}

/** All endpoints come and go, some of them while calls to them are in flight. */
async function churn(balancer: Balancer, endpoints: ReturnType<typeof list>, count: number): Promise<void> {
  for (let done = 0; done < count; done += atOnce) {
    const batch = freshEndpoints();
    if ((done / atOnce) % 20 === 0) {
      for (const endpoint of batch) endpoints.add(endpoint);
      for (const { address } of endpoints.endpoints.slice(0, -atOnce)) endpoints.remove(address);
    } else {
      endpoints.set(batch);
    }
    const running = Array.from({ length: callsAtOnce }, () => call(balancer));
    if ((done / atOnce) % 2 === 0) endpoints.set(batch.slice(0, 1));
    await Promise.all(running);
  }
  endpoints.set(freshEndpoints().slice(0, 1));
  await call(balancer);
  // Sockets of nodes that left are closed a moment later, and undici's timers run once a second.
  await sleep(1_500);
}

/** Some of what can go goes only after several collections, with turns of the event loop between them. */
async function heapUsed(): Promise<number> {
  for (let round = 0; round < 10; round++) {
    if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
    globalThis.gc();
    await sleep(20);
  }
  return process.memoryUsage().heapUsed;
}

const resourcesBefore = process.getActiveResourcesInfo();
const endpoints = list(freshEndpoints());
const balancer = new Balancer({ name: "churn", discovery: endpoints });
balancer.on("connect", () => {
  connections++;
});
// For the compiler and for whatever is made only once: the heap is steady from the third time on.
for (let round = 0; round < 3; round++) await churn(balancer, endpoints, 20_000);
const heapBefore = await heapUsed();
await churn(balancer, endpoints, Number(total));
const heapGrowth = (await heapUsed()) - heapBefore;
const nodesAtEnd = balancer.nodes.length;
await balancer.close();
await sleep(300);
const report: ChurnReport = {
  endpoints: Number(total),
  calls,
  failed,
  heapGrowth,
  nodesAtEnd,
  connections,
  resourcesBefore,
  resourcesAfter: process.getActiveResourcesInfo(),
};
console.log(JSON.stringify(report));
