/**
 * CPU per call of `agent.fetch` and `agent.request`, as ratios to undici's own fetch and request over an Agent.
 *
 * All systems call the same servers in one run. Blocks of calls alternate, so that whatever else the machine does meets
 * all of them alike; a ratio is taken within each round, and the median of the ratios is the figure. CPU time is this
 * process's own (user and system); the servers are another process.
 *
 * Run alone: `npx node bench/agent.ts`.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { Agent, fetch as undiciFetch } from "undici";
import { BalancerAgent } from "../src/index.ts";
import { exposeCollector } from "./measure.ts";
import { median, quantile } from "./statistics.ts";

const rounds = 40;
const callsPerBlock = 2_000;
const concurrency = 32;
const path = "/v1/orders/42";
const answerBytes = JSON.stringify({ id: 42, state: "shipped", items: [1, 2, 3] }).length;
const collect = exposeCollector();

interface System {
  readonly name: string;
  /** Which system it is compared with: its place in the list. */
  readonly yardstick: number;
  /** One call, to the end of its body; resolves with the body's length. */
  readonly call: () => Promise<number>;
}

function systemsOver(addresses: readonly string[], agent: BalancerAgent, plain: Agent): readonly System[] {
  let next = 0;
  const nextAddress = (): string => addresses[next++ % addresses.length] as string;
  return [
    {
      name: "undici fetch over an Agent, round robin by hand",
      yardstick: 0,
      async call() {
        const response = await undiciFetch(nextAddress() + path, { dispatcher: plain });
        return (await response.arrayBuffer()).byteLength;
      },
    },
    {
      name: "agent.fetch, all defaults on",
      yardstick: 0,
      async call() {
        const response = await agent.fetch(`http://orders${path}`);
        return (await response.arrayBuffer()).byteLength;
      },
    },
    {
      name: "agent.fetch, alternately two services",
      yardstick: 0,
      async call() {
        const response = await agent.fetch(`http://${next++ % 2 === 0 ? "orders" : "users"}${path}`);
        return (await response.arrayBuffer()).byteLength;
      },
    },
    {
      name: "agent.fetch, straight through",
      yardstick: 0,
      async call() {
        const response = await agent.fetch(nextAddress() + path);
        return (await response.arrayBuffer()).byteLength;
      },
    },
    {
      name: "undici request over an Agent, round robin by hand",
      yardstick: 4,
      async call() {
        const { body } = await plain.request({ origin: nextAddress(), path, method: "GET" });
        return (await body.arrayBuffer()).byteLength;
      },
    },
    {
      name: "agent.request, all defaults on",
      yardstick: 4,
      async call() {
        const { body } = await agent.request({ origin: "http://orders", path, method: "GET" });
        return (await body.arrayBuffer()).byteLength;
      },
    },
  ];
}

/** CPU microseconds per call of one block. */
async function block(system: System, calls: number): Promise<number> {
  let started = 0;
  let bytes = 0;
  const worker = async () => {
    while (started < calls) {
      started++;
      bytes += await system.call();
    }
  };
  // One block must not pay for the garbage of the one before.
  collect();
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system: kernel } = process.cpuUsage(before);
  if (bytes !== calls * answerBytes)
    throw new Error(`${system.name}: ${bytes} bytes came for ${calls} calls`);
  return (user + kernel) / calls;
}

export async function benchAgent(): Promise<string> {
  const child = fork(new URL("./servers.ts", import.meta.url), { execArgv: [] });
  const [ports] = (await once(child, "message")) as [number[]];
  const addresses = ports.map((port) => `http://127.0.0.1:${port}`);
  const agent = new BalancerAgent({
    defaults: { discovery: addresses },
    services: { orders: {}, users: {} },
  });
  const plain = new Agent({ connections: 100 });
  const systems = systemsOver(addresses, agent, plain);
  const costs = systems.map((): number[] => []);
  for (const system of systems) await block(system, 3 * callsPerBlock);
  for (let round = 0; round < rounds; round++) {
    // Each system follows each other one equally often.
    const order = systems.map((_, index) => (index + round) % systems.length);
    if (round % 2 === 1) order.reverse();
    for (const index of order) costs[index]?.push(await block(systems[index] as System, callsPerBlock));
  }
  await Promise.all([agent.close(), plain.close()]);
  child.disconnect();
  const rows = systems.map((system, index) => {
    const own = costs[index] as number[];
    const yardstick = costs[system.yardstick] as number[];
    const ratios = own.map((cost, round) => cost / (yardstick[round] as number));
    const [low, high] = [quantile(ratios, 0.25), quantile(ratios, 0.75)];
    return `| ${system.name} | ${median(own).toFixed(1)} | ${median(ratios).toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)} |`;
  });
  return [
    "## CPU per call through an agent",
    "",
    `GET over HTTP/1.1 to 5 nodes, ${concurrency} at a time; ${rounds} rounds of ${callsPerBlock} calls for each system, interleaved.`,
    "Fetch is compared with undici's fetch, request with undici's request. Mark: agent.fetch at most 1.03.",
    "",
    "| system | CPU µs per call | ratio (median) | middle half of the ratios |",
    "|---|---|---|---|",
    ...rows,
  ].join("\n");
}

if (import.meta.main) console.log(await benchAgent());
