/** The results of a chain run as plain data: what `--json` prints and the report is made from. */
import { deadlineMs } from "../chain/plan.ts";
import type { CallBook } from "../demo/call-book.ts";
import type { FailureCount, Latency, Tally } from "../demo/tally.ts";
import type { ChainLane } from "./chain-lane.ts";
import type { ChainRun } from "./chain-run.ts";
import { type ChainPhase, chainPhases } from "./phases.ts";

export interface CallsResult extends Latency {
  readonly calls: number;
  readonly failed: number;
  readonly failures: readonly FailureCount[];
}

export interface ChainResult {
  readonly withC: CallsResult;
  readonly withoutC: CallsResult;
  /** The most requests that one process of B had at once. */
  readonly mostInflight: number;
}

export interface ChainPhaseResult {
  readonly phase: ChainPhase["id"];
  readonly title: string;
  readonly evenkeel: ChainResult;
  readonly plain: ChainResult | undefined;
}

export interface ChainResults {
  readonly options: { readonly rate: number; readonly phaseSeconds: number; readonly deadlineMs: number };
  readonly phases: readonly ChainPhaseResult[];
  /** Every process that was started. None runs any more. */
  readonly pids: readonly number[];
  readonly verdict: "passed" | "failed";
  readonly exitCode: 0 | 1;
}

/** After `play` has returned. */
export function chainResultsOf({ lanes, options, pids }: ChainRun): ChainResults {
  const [evenkeel, plain] = lanes as readonly [ChainLane, ChainLane?];
  const passed = evenkeel.withoutC.calls > 0 && evenkeel.withoutC.failed === 0;
  return {
    options: { rate: options.rate, phaseSeconds: options.phaseSeconds, deadlineMs },
    phases: chainPhases.map(({ id, title }, index) => ({
      phase: id,
      title,
      evenkeel: chainResult(evenkeel, index),
      plain: plain && chainResult(plain, index),
    })),
    pids,
    verdict: passed ? "passed" : "failed",
    exitCode: passed ? 0 : 1,
  };
}

function chainResult({ withC, withoutC, mostInflight }: ChainLane, index: number): ChainResult {
  return {
    withC: callsResult(withC, index),
    withoutC: callsResult(withoutC, index),
    mostInflight: mostInflight[index] ?? 0,
  };
}

function callsResult({ tallies }: CallBook, index: number): CallsResult {
  const { calls, failed, failures, latency } = tallies[index] as Tally;
  return { calls, failed, failures, ...latency };
}
