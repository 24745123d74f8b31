/**
 * How many calls fail, and how slow they get, when one of five nodes fails: Evenkeel beside undici and grpc-js.
 *
 * Every system meets every fault with processes of its own, one after the other, under the same open-loop load: calls
 * start when they are due, whatever became of earlier ones, and their times count from then. The bad node stays
 * announced all the time.
 *
 * Run alone: `npx node bench/faults.ts`.
 */
import { grpcSystems } from "./faults/grpc-systems.ts";
import { httpSystems } from "./faults/http-systems.ts";
import {
  type Fault,
  faultSeconds,
  faults,
  healthySeconds,
  nodes,
  ratePerSecond,
  recoverySeconds,
  totalMs,
  warmUpSeconds,
  work,
} from "./faults/plan.ts";
import { type Run, run } from "./faults/run.ts";
import type { System } from "./faults/system.ts";

const systems: readonly System[] = [...httpSystems, ...grpcSystems];

export async function benchFaults(): Promise<string> {
  const tables: string[] = [];
  const rates: number[] = [];
  for (const fault of faults) {
    const rows: string[] = [];
    for (const system of systems) {
      const done = await run(system, fault);
      rates.push(done.result.achievedRate);
      rows.push(row(system, done));
      report(fault, system, done);
    }
    tables.push(
      [
        `### ${fault.title}`,
        "",
        "| system | calls | failed | p50 ms | p99 ms | slowest ms | share of the bad node during the fault |",
        "|---|---|---|---|---|---|---|",
        ...rows,
      ].join("\n"),
    );
  }
  return [head(rates), ...tables].join("\n\n");
}

function head(rates: readonly number[]): string {
  return [
    "## When a node fails",
    "",
    `${nodes} nodes of ${work.workMs} ms of work, each a process; ${healthySeconds} s healthy, ${faultSeconds} s of fault, ${recoverySeconds} s after it,`,
    `following ${warmUpSeconds} s that are not counted. ${ratePerSecond} calls/s were asked for, ${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)} started.`,
    "The bad node is one that has a call under way when the fault begins.",
    `A call has ${totalMs.toLocaleString("en")} ms; it failed if it met an error or that limit, a status from 500 on or a code but OK.`,
    "Times are of all calls of a run from when they were due, failed ones included: a failure at once makes them shorter.",
    "The share counts requests, retries included; a fifth is an equal one.",
    "",
    ...systems.map(({ name, settings }) => `- ${name}: ${settings}.`),
  ].join("\n");
}

function row({ name }: System, { result, badShare }: Run): string {
  const { calls, failed } = result;
  const cells = [
    name,
    calls.length.toLocaleString("en"),
    failed.length.toLocaleString("en"),
    result.percentile(0.5).toFixed(1),
    result.percentile(0.99).toFixed(1),
    result.percentile(1).toFixed(1),
    `${(100 * badShare).toFixed(1)}%`,
  ];
  return `| ${cells.join(" | ")} |`;
}

/** Progress, with what the failed calls met. */
function report(fault: Fault, system: System, { result }: Run): void {
  const failures = result.failed.length === 0 ? "" : `: ${result.describeFailures()}`;
  console.error(`${fault.title}, ${system.name}: ${result.failed.length} failed${failures}`);
}

if (import.meta.main) console.log(await benchFaults());
