/** `evenkeel replay`: what each policy would have made of a recorded trace, by simulation. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Policy } from "../core/contracts.ts";
import type { Random } from "../core/random.ts";
import { leastCost } from "../policy/least-cost.ts";
import { leastRequest } from "../policy/least-request.ts";
import { peakEwma } from "../policy/peak-ewma.ts";
import { random } from "../policy/random.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { weightedRoundRobin } from "../policy/weighted-round-robin.ts";
import { plural } from "./demo/table.ts";
import type { TraceAttempt } from "./record-format.ts";
import { fitService } from "./replay-fit.ts";
import { reportOf } from "./replay-report.ts";
import { simulate } from "./replay-simulation.ts";
import { parseTrace, type Trace } from "./replay-trace.ts";
import { numberOption, UsageError } from "./usage.ts";

type Factory = (options: { readonly random: Random }) => Policy;

/** Those that need nothing of the call: a trace has no keys to hash. */
const factories: readonly Factory[] = [
  leastCost,
  leastRequest,
  peakEwma,
  roundRobin,
  weightedRoundRobin,
  random,
];
const policies: ReadonlyMap<string, Factory> = new Map(
  factories.map((factory) => [factory({ random: Math.random }).name, factory]),
);
const names = Array.from(policies.keys()).join(", ");

/** Bad lines that are named one by one; the rest is counted. */
const mostProblems = 10;

const help = `evenkeel replay: what each policy would have made of a recorded trace

Estimates how fast the recorded nodes were, how many calls they could take at once and when they failed, and sends
calls at the recorded times through each policy to such nodes, in a simulation. An estimate: a trace shows nothing of
calls that others made, and not how a node would have behaved under another load.

Usage: evenkeel replay <trace> [options]

Options:
  --policy <name>    may be given several times (default all): ${names}
  --service <name>   only this service (default all)
  --attempt-ms <ms>  how long an attempt may take (default as recorded, else 10000)
  --no-recovery      without retries and ejection, for what a policy alone does
  --seed <number>    of the chance in the simulation (default 1)
  -h, --help         this text
`;

/** @throws UsageError */
export async function replay(args: readonly string[]): Promise<number> {
  const { values: given, positionals } = readArguments(args);
  if (given.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [path, extra] = positionals;
  if (path === undefined) throw new UsageError("the trace is missing: evenkeel replay trace.jsonl");
  if (extra !== undefined) throw new UsageError(`one trace at a time, got "${extra}" as well`);
  const chosen = (given.policy ?? Array.from(policies.keys())).map((name) => ({
    name,
    create: policyNamed(name),
  }));
  const seed = numberOption("--seed", given.seed, { default: 1, min: 0, max: 2 ** 31 });
  const attemptMs =
    given["attempt-ms"] === undefined
      ? undefined
      : numberOption("--attempt-ms", given["attempt-ms"], { default: 0, min: 1, max: 2 ** 31 - 1 });
  const trace = read(path);
  warn(trace);
  const services = Map.groupBy(trace.attempts, ({ service }) => service);
  for (const [service, attempts] of chooseServices(services, given.service)) {
    const fitted = fitService(service, attempts);
    const recovery = given["no-recovery"] !== true;
    const results = chosen.map(({ name, create }) => ({
      name,
      ...simulate(fitted, (chance) => create({ random: chance }), { seed, recovery, attemptMs }),
    }));
    process.stdout.write(`${reportOf(fitted, results, recovery)}\n`);
  }
  return 0;
}

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        policy: { type: "string", multiple: true },
        service: { type: "string" },
        "attempt-ms": { type: "string" },
        "no-recovery": { type: "boolean" },
        seed: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    const [reason = ""] = (error as Error).message.split(/\n|\. (?=[A-Z])/);
    throw new UsageError(reason);
  }
}

function policyNamed(name: string): Factory {
  const factory = policies.get(name);
  if (factory === undefined) throw new UsageError(`unknown policy "${name}"; there is ${names}`);
  return factory;
}

function read(path: string): Trace {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
  const trace = parseTrace(text);
  if (trace.attempts.length === 0) throw new UsageError(`${path} holds no attempt${problemsOf(trace)}`);
  return trace;
}

function problemsOf({ problems }: Trace): string {
  const [first] = problems;
  if (first === undefined) return "";
  const lines = problems.length === 1 ? "1 bad line" : `${problems.length} bad lines`;
  return `, but ${lines}; the first is line ${first.line}: ${first.message}`;
}

/** What the table leaves out, on stderr. */
function warn({ problems, open, dropped }: Trace): void {
  const lines = problems
    .slice(0, mostProblems)
    .map(({ line, message }) => `line ${line} skipped: ${message}`);
  if (problems.length > mostProblems) lines.push(`${problems.length - mostProblems} more lines skipped`);
  if (open > 0)
    lines.push(`not in the trace: ${plural(open, "attempt")} that had not ended when the process did`);
  if (dropped > 0) lines.push(`not in the trace: ${plural(dropped, "attempt")}, as the disk was too slow`);
  for (const line of lines) process.stderr.write(`evenkeel: ${line}\n`);
}

function chooseServices(
  services: ReadonlyMap<string, readonly TraceAttempt[]>,
  wanted: string | undefined,
): Iterable<readonly [string, readonly TraceAttempt[]]> {
  if (wanted === undefined) return services;
  const attempts = services.get(wanted);
  if (attempts === undefined) {
    throw new UsageError(
      `no service "${wanted}" in the trace; there is ${Array.from(services.keys()).join(", ")}`,
    );
  }
  return [[wanted, attempts]];
}
