/** Measures what watching Consul costs, in a process that does nothing else: over many changes, and over none. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../../src/core/clock.ts";
import { resolveConsulOptions } from "../../../src/discovery/consul/options.ts";
import { ConsulSource } from "../../../src/discovery/consul/source.ts";
import { consul } from "../../../src/discovery/consul.ts";
import { type CostReport, heapBytes, measureIdle, throwIt } from "./cost-report.ts";

const instances = 20;
const warmUp = 24_000;
const changes = 100_000;

const [, , url] = process.argv;
if (url === undefined) throw new Error("give Consul's URL as argument");

/** Consul itself changes some hundred times a second, and our rate limit is below that: an agent that answers at once. */
let index = 1;
const agent = createServer((_request, response) => {
  index++;
  response.setHeader("x-consul-index", index);
  response.end(
    JSON.stringify(
      Array.from({ length: instances }, (_, number) => ({
        Node: { Node: "one", Address: "127.0.0.1" },
        Service: {
          ID: `orders-${number}`,
          Address: `10.0.0.${number + 1}`,
          Port: 80,
          Meta: { zone: "a" },
          // A weight that it never had.
          Weights: { Passing: number === 0 ? index : 1, Warning: 1 },
        },
        Checks: [{ Status: "passing" }],
      })),
    ),
  );
}).listen(0, "127.0.0.1");
await once(agent, "listening");
/** Without the pauses of the rate limit. */
const impatient: Clock = {
  now: () => performance.now(),
  schedule(callback) {
    const handle = setImmediate(callback);
    return { cancel: () => clearImmediate(handle), keepAlive: () => {} };
  },
};
const { port } = agent.address() as AddressInfo;
const source = new ConsulSource(resolveConsulOptions({ address: `127.0.0.1:${port}` }), {
  clock: impatient,
  random: Math.random,
});
const end = new AbortController();
let sets = 0;
let before = 0;
let grown = 0;
for await (const _ of source.watch({ service: "orders", signal: end.signal, report: throwIt })) {
  sets++;
  // It takes some collections until 5 MiB that only the start needed are gone, under which a leak could hide.
  if (sets <= warmUp && sets % 3_000 === 0) before = await heapBytes();
  if (sets < warmUp + changes) continue;
  grown = (await heapBytes()) - before;
  end.abort();
}
agent.close();
agent.closeAllConnections();

const idle = await measureIdle(consul({ address: url }));
const result: CostReport = { changes, heapKib: grown / 1_024, ...idle };
console.log(JSON.stringify(result));
