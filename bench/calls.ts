/**
 * CPU per call through each balancer, as ratios to round robin over bare undici Pools.
 *
 * Every system has a process of its own, and all call the same servers. Blocks of calls take turns, one system at a
 * time and in random order, so that whatever else the machine does meets all of them alike; a ratio is taken within
 * each round, and the median of the ratios is the figure. CPU time is that of the system's own process, user and
 * system; the servers are another process.
 *
 * Run alone: `npx node bench/calls.ts`, or for some of the groups `npx node bench/calls.ts http2`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createSeededRandom } from "../src/core/random.ts";
import { groups } from "./call-systems.ts";
import type { ServerPorts } from "./servers.ts";
import { median, quantile } from "./statistics.ts";

const rounds = 40;
/** Long enough for garbage collections to spread evenly over the blocks. */
const callsPerBlock = 8_000;
const warmUpCalls = 24_000;
const concurrency = 32;

async function block(worker: ChildProcess, calls: number): Promise<number> {
  const settled = new AbortController();
  worker.send({ calls, concurrency });
  const message = once(worker, "message", settled);
  const ended = once(worker, "exit", settled).then(() => Promise.reject(new Error("a worker ended")));
  try {
    const [microseconds] = (await Promise.race([message, ended])) as [number];
    return microseconds;
  } finally {
    settled.abort();
    await Promise.allSettled([message, ended]);
  }
}

function start(program: string, ...args: readonly string[]): ChildProcess {
  return fork(new URL(program, import.meta.url), args, { execArgv: [] });
}

/** Ratios of one group to its first system, as the rows of a table. */
async function compare(group: string, addresses: readonly string[]): Promise<string[]> {
  const names = Object.keys(groups[group] ?? {});
  const workers = names.map((name) => start("./call-worker.ts", group, name, ...addresses));
  const costs = names.map((): number[] => []);
  const random = createSeededRandom(1);
  for (const worker of workers) await block(worker, warmUpCalls);
  for (let round = 0; round < rounds; round++) {
    const order = names
      .map((_, index) => ({ index, at: random() }))
      .sort((left, right) => left.at - right.at);
    for (const { index } of order) {
      costs[index]?.push(await block(workers[index] as ChildProcess, callsPerBlock));
    }
  }
  for (const worker of workers) worker.disconnect();
  const yardstick = costs[0] as number[];
  return names.map((name, index) => {
    const own = costs[index] as number[];
    const ratios = own.map((cost, round) => cost / (yardstick[round] as number));
    const [low, high] = [quantile(ratios, 0.25), quantile(ratios, 0.75)];
    return `| ${name} | ${median(own).toFixed(1)} | ${median(ratios).toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)} |`;
  });
}

const titles: Readonly<Record<string, string>> = {
  request: "`request`; marks: the Balancer at most 1.05, with otel metrics at most 1.15:",
  resilience: "`request` with what keeps failures from spreading; mark: 1.10:",
  fetch: "`fetch`; mark: `agent.fetch` at most 1.03:",
  grpc: "unary calls over gRPC; mark: `grpcBalancer` at most 1.05:",
  connect: "unary calls over Connect's gRPC transport, to one node:",
  http2: "`request` over HTTP/2, to one node and over one session; mark: 1.05:",
};

/** @param wanted some of the groups; all of them without. */
export async function benchCalls(wanted: readonly string[] = Object.keys(titles)): Promise<string> {
  const servers = start("./servers.ts");
  const [{ http1, http2, grpc, connect }] = (await once(servers, "message")) as [ServerPorts];
  const lines = [
    "## CPU per call",
    "",
    `GET over HTTP/1.1 to 5 nodes, ${concurrency} at a time; ${rounds} rounds of ${callsPerBlock.toLocaleString("en")} calls for each system, each in a process of its own, in turns.`,
  ];
  for (const group of wanted) {
    const ports = { http2: [http2], grpc, connect: [connect] }[group] ?? http1;
    lines.push("", titles[group] ?? group, "");
    lines.push("| system | CPU µs per call | ratio to the first (median) | middle half of the ratios |");
    lines.push("|---|---|---|---|");
    const addresses = ports.map((port) => `http://127.0.0.1:${port}`);
    lines.push(...(await compare(group, addresses)));
  }
  servers.disconnect();
  return lines.join("\n");
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  console.log(await benchCalls(wanted.length > 0 ? wanted : undefined));
}
