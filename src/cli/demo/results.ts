/** The results of a run as plain data: what `--json` prints and the report is made from. */
import type { Lane } from "./lane.ts";
import { attemptMs, type DemoOptions, retryStatuses, totalMs, workers, workMs } from "./options.ts";
import { type Phase, phases } from "./phases.ts";
import type { Run } from "./run.ts";
import type { FailureCount, Latency, Tally } from "./tally.ts";

export interface NodeResult {
  readonly node: number;
  readonly address: string;
  /** Requests sent to it in this phase, retries included. */
  readonly attempts: number;
}

export interface SystemResult extends Latency {
  readonly calls: number;
  readonly failed: number;
  /** The part of all requests that went to nodes in trouble, from 0 to 1. */
  readonly badShare: number;
  readonly nodes: readonly NodeResult[];
  readonly failures: readonly FailureCount[];
}

export interface PhaseResult {
  readonly phase: Phase["id"];
  readonly title: string;
  readonly story: string;
  /** Numbers of the nodes in trouble. */
  readonly bad: readonly number[];
  readonly evenkeel: SystemResult;
  readonly balancedPool: SystemResult | undefined;
}

export interface Totals {
  readonly calls: number;
  readonly failed: number;
}

export interface Results {
  readonly options: DemoOptions & {
    readonly totalMs: number;
    readonly attemptMs: number;
    readonly retryStatuses: readonly number[];
    readonly workMs: number;
    readonly workers: number;
  };
  readonly phases: readonly PhaseResult[];
  readonly totals: { readonly evenkeel: Totals; readonly balancedPool: Totals | undefined };
  /** Every service process that was started. None runs any more. */
  readonly pids: readonly number[];
  readonly verdict: "passed" | "failed";
  readonly exitCode: 0 | 1;
}

/** After `play` has returned. */
export function resultsOf(run: Run): Results {
  const { evenkeel, balancedPool } = run;
  const passed = evenkeel.calls > 0 && evenkeel.failed === 0;
  return {
    options: { ...run.options, totalMs, attemptMs, retryStatuses, workMs, workers },
    phases: phases.map((phase, index) => ({
      phase: phase.id,
      title: phase.title,
      story: phase.story,
      bad: phase.bad,
      evenkeel: systemResult(evenkeel, phase, index),
      balancedPool: balancedPool && systemResult(balancedPool, phase, index),
    })),
    totals: { evenkeel: totalsOf(evenkeel), balancedPool: balancedPool && totalsOf(balancedPool) },
    pids: [...run.lanes.flatMap(({ service }) => service.pids), ...run.directory.pids],
    verdict: passed ? "passed" : "failed",
    exitCode: passed ? 0 : 1,
  };
}

function systemResult({ tallies, service }: Lane, { bad }: Phase, index: number): SystemResult {
  const tally = tallies[index] as Tally;
  const nodes = service.nodes.map(({ number, backend: { address } }) => ({
    node: number,
    address,
    attempts: tally.attemptsTo(address),
  }));
  const badAddresses = nodes.filter(({ node }) => bad.includes(node)).map(({ address }) => address);
  const { p50Ms, p99Ms, maxMs } = tally.latency;
  return {
    calls: tally.calls,
    failed: tally.failed,
    p50Ms: rounded(p50Ms),
    p99Ms: rounded(p99Ms),
    maxMs: rounded(maxMs),
    badShare: tally.shareOf(badAddresses),
    nodes,
    failures: tally.failures,
  };
}

function totalsOf({ calls, failed }: Lane): Totals {
  return { calls, failed };
}

/** Timers are no finer than this. */
function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
