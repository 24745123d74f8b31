/** Measures what watching Nacos costs, in a process that does nothing else: over many changes, and over none. */
import { nacos } from "../../../src/discovery/nacos.ts";
import { type CostReport, heapBytes, measureIdle, throwIt } from "./cost-report.ts";
import { host, ScriptedNacos } from "./scripted-nacos.ts";

const instances = 20;
const warmUp = 3_000;
const changes = 100_000;

const [, , address] = process.argv;
if (address === undefined) throw new Error("give Nacos' address as argument");

// A real server waits before each push; this one is in the same process, and what it keeps is counted, too.
const server = await ScriptedNacos.start();
const end = new AbortController();
let sets = 0;
let before = 0;
let grown = 0;
for await (const _ of nacos({ servers: server.address }).watch({
  service: "orders",
  signal: end.signal,
  report: throwIt,
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

const idle = await measureIdle(nacos({ servers: address }));
const result: CostReport = { changes, heapKib: grown / 1_024, ...idle };
console.log(JSON.stringify(result));
