/**
 * CPU per call through each balancer, as ratios to round robin over bare undici Pools.
 *
 * Every system has a process of its own, and all call the same servers. Blocks of calls take turns, one system at a
 * time and in random order, so that whatever else the machine does meets all of them alike; a ratio is taken within
 * each round, and the median of the ratios is the figure. CPU time is that of the system's own process, user and
 * system; the servers are another process.
 *
 * A process keeps for its life what its start gave it (what was compiled when, where things lie in memory, how calls
 * and answers fell into step): two processes of one system differ by a twentieth, and many rounds within one pair measure
 * that pair. So each system is started anew several times, servers included. Blocks are short, so that what disturbs the
 * machine for longer than some tenths of a second meets all systems alike.
 *
 * Run alone: `npx node bench/calls.ts`, or for some of the groups `npx node bench/calls.ts http2`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createSeededRandom } from "../src/core/random.ts";
import { groups } from "./call-systems.ts";
import type { ServerPorts } from "./servers.ts";
import { median, quantile } from "./statistics.ts";

const starts = 10;
/** Within one start. */
const rounds = 40;
/** Some garbage collections are in each: a call over gRPC leaves 30 KB behind, one over HTTP/1.1 5 KB. */
const callsPerBlock = (group: string): number => (isRpc(group) ? 1_000 : 6_000);
/**
 * Until V8 has compiled what is called often: the CPU time of a call falls by a third over the first 50,000, and over gRPC,
 * where a call is many functions, the last of them get to its best compiler after 100,000.
 */
const warmUpCalls = (group: string): number => (group.startsWith("grpc") ? 120_000 : 50_000);
const concurrency = 32;
const isRpc = (group: string): boolean => group.startsWith("grpc") || group === "connect";

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

/** What each system of a group took per block, and what that is to the first system's block of the same round. */
interface Costs {
  readonly microseconds: number[];
  readonly ratios: number[];
  /** The median of each start. */
  readonly medians: number[];
}

/** Adds the rounds of one set of processes. */
async function measure(group: string, costs: ReadonlyMap<string, Costs>, seed: number): Promise<void> {
  const servers = start("./servers.ts");
  const [{ http1, http2, grpc, connect }] = (await once(servers, "message")) as [ServerPorts];
  const ports = { http2: [http2], grpc, "grpc-deadline": grpc, connect: [connect] }[group] ?? http1;
  const addresses = ports.map((port) => `http://127.0.0.1:${port}`);
  const names = [...costs.keys()];
  const workers = names.map((name) => start("./call-worker.ts", group, name, ...addresses));
  for (const worker of workers) await block(worker, warmUpCalls(group));
  const random = createSeededRandom(seed);
  const taken = names.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    const order = names
      .map((_, index) => ({ index, at: random() }))
      .sort((left, right) => left.at - right.at);
    for (const { index } of order) {
      taken[index]?.push(await block(workers[index] as ChildProcess, callsPerBlock(group)));
    }
  }
  for (const child of [...workers, servers]) child.disconnect();
  const yardstick = taken[0] as number[];
  for (const [index, name] of names.entries()) {
    const own = taken[index] as number[];
    const ratios = own.map((cost, round) => cost / (yardstick[round] as number));
    costs.get(name)?.microseconds.push(...own);
    costs.get(name)?.ratios.push(...ratios);
    costs.get(name)?.medians.push(median(ratios));
  }
}

/** Ratios of one group to its first system, as the rows of a table. */
async function compare(group: string): Promise<string[]> {
  const costs = new Map<string, Costs>();
  for (const name of Object.keys(groups[group] ?? {})) {
    costs.set(name, { microseconds: [], ratios: [], medians: [] });
  }
  for (let seed = 1; seed <= starts; seed++) await measure(group, costs, seed);
  return Array.from(costs, ([name, { microseconds, ratios, medians }]) => {
    const [low, high] = [quantile(ratios, 0.25), quantile(ratios, 0.75)];
    const [least, most] = [Math.min(...medians), Math.max(...medians)];
    return `| ${name} | ${median(microseconds).toFixed(1)} | ${median(ratios).toFixed(3)} | ${low.toFixed(3)} to ${high.toFixed(3)} | ${least.toFixed(3)} to ${most.toFixed(3)} |`;
  });
}

const titles: Readonly<Record<string, string>> = {
  request: "`request`; marks: the Balancer at most 1.05, with otel metrics at most 1.15.",
  resilience: "`request` with what keeps failures from spreading; mark: 1.10.",
  fetch: "`fetch`; mark: `agent.fetch` at most 1.03.",
  grpc: "unary calls over gRPC; mark: `grpcBalancer` at most 1.05.",
  "grpc-deadline": "the same where each call of round_robin is given a deadline, as calls of production are.",
  connect: "unary calls over Connect's gRPC transport, to one node.",
  http2: "`request` over HTTP/2, to one node and over one session; mark: 1.05.",
};

/** @param wanted some of the groups; all of them without. */
export async function benchCalls(wanted: readonly string[] = Object.keys(titles)): Promise<string> {
  const lines = [
    "## CPU per call",
    "",
    `To 5 nodes, ${concurrency} calls at a time. Each system has a process of its own and is started ${starts} times; in each start ${rounds} rounds of one block of calls for each system, in turns.`,
  ];
  for (const group of wanted) {
    const size = callsPerBlock(group).toLocaleString("en");
    lines.push("", `${titles[group] ?? group} In blocks of ${size} calls:`, "");
    lines.push(
      "| system | CPU µs per call | ratio to the first (median) | middle half of the ratios | medians of the starts |",
    );
    lines.push("|---|---|---|---|---|");
    lines.push(...(await compare(group)));
  }
  return lines.join("\n");
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  console.log(await benchCalls(wanted.length > 0 ? wanted : undefined));
}
