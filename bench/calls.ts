/**
 * CPU per call through each balancer, as ratios to round robin over bare undici Pools.
 *
 * All systems call the same servers in one run. Blocks of calls alternate, in random order, so that whatever else
 * the machine does meets all of them alike; a ratio is taken within each round, and the median of the ratios is the
 * figure. CPU time is this process's own (user and system); the servers are another process.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { Agent, BalancedPool, type Dispatcher, Pool } from "undici";
import { Balancer } from "../src/index.ts";
import { exposeCollector } from "./measure.ts";
import { median, quantile } from "./statistics.ts";

const rounds = 60;
const callsPerBlock = 4_000;
const concurrency = 32;
const collect = exposeCollector();

interface System {
  readonly name: string;
  readonly call: () => Promise<Dispatcher.ResponseData>;
  readonly close: () => Promise<void>;
}

/** The yardstick: what a program would do by hand. */
function barePools(addresses: readonly string[]): System {
  const pools = addresses.map((address) => new Pool(address, { connections: 100 }));
  let next = 0;
  return {
    name: "round robin over bare Pools",
    call: () => (pools[next++ % pools.length] as Pool).request({ path: "/v1/orders/42", method: "GET" }),
    close: async () => {
      await Promise.all(pools.map((pool) => pool.close()));
    },
  };
}

function evenkeel(addresses: readonly string[]): System {
  const balancer = new Balancer({ name: "orders", discovery: addresses });
  return {
    name: "Evenkeel, all defaults on",
    call: () => balancer.request({ path: "/v1/orders/42", method: "GET" }),
    close: () => balancer.close(),
  };
}

function balancedPool(addresses: readonly string[]): System {
  const pool = new BalancedPool([...addresses], { connections: 100 });
  return {
    name: "undici BalancedPool",
    call: () => pool.request({ path: "/v1/orders/42", method: "GET" }),
    close: () => pool.close(),
  };
}

function agent(addresses: readonly string[]): System {
  const all = new Agent({ connections: 100 });
  let next = 0;
  return {
    name: "undici Agent, round robin by hand",
    call: () =>
      all.request({
        origin: addresses[next++ % addresses.length] as string,
        path: "/v1/orders/42",
        method: "GET",
      }),
    close: () => all.close(),
  };
}

/** CPU microseconds per call of one block. The answers' bytes are added up and checked after the timed part. */
async function block(system: System, calls: number): Promise<number> {
  let started = 0;
  let bytes = 0;
  const worker = async () => {
    while (started < calls) {
      started++;
      const { body } = await system.call();
      bytes += (await body.arrayBuffer()).byteLength;
    }
  };
  // One block must not pay for the garbage of the one before.
  collect();
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system: kernel } = process.cpuUsage(before);
  const expected = calls * JSON.stringify({ id: 42, state: "shipped", items: [1, 2, 3] }).length;
  if (bytes !== expected) throw new Error(`${system.name}: ${bytes} bytes came, expected ${expected}`);
  return (user + kernel) / calls;
}

export async function benchCalls(): Promise<string> {
  const child = fork(new URL("./servers.ts", import.meta.url), { execArgv: [] });
  const [ports] = (await once(child, "message")) as [number[]];
  const addresses = ports.map((port) => `http://127.0.0.1:${port}`);
  const systems = [barePools(addresses), evenkeel(addresses), balancedPool(addresses), agent(addresses)];
  const perCall = new Map<System, number[]>(systems.map((system) => [system, []]));
  for (const system of systems) await block(system, 3 * callsPerBlock);
  for (let round = 0; round < rounds; round++) {
    // Each system follows each other one equally often.
    const order = systems.map((_, index) => systems[(index + round) % systems.length] as System);
    if (round % 2 === 1) order.reverse();
    for (const system of order) perCall.get(system)?.push(await block(system, callsPerBlock));
  }
  for (const system of systems) await system.close();
  child.disconnect();
  const yardstick = perCall.get(systems[0] as System) as number[];
  const rows = systems.map((system) => {
    const costs = perCall.get(system) as number[];
    const ratios = costs.map((cost, index) => cost / (yardstick[index] as number));
    const [low, high] = [quantile(ratios, 0.25), quantile(ratios, 0.75)];
    return `| ${system.name} | ${median(costs).toFixed(1)} | ${median(ratios).toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)} |`;
  });
  return [
    "## CPU per call",
    "",
    `GET over HTTP/1.1 to 5 nodes, ${concurrency} at a time; ${rounds} rounds of ${callsPerBlock} calls for each system, interleaved.`,
    "Mark: Evenkeel at most 1.05.",
    "",
    "| system | CPU µs per call | ratio to bare Pools (median) | middle half of the ratios |",
    "|---|---|---|---|",
    ...rows,
  ].join("\n");
}

if (import.meta.main) console.log(await benchCalls());
