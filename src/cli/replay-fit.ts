/**
 * Fits the model to a trace: what the nodes did is estimated from what the attempts saw.
 *
 * - Work: each success of a node is a sample of it. Where calls waited for each other, that is taken out: see
 *   `fitCores`.
 * - Failures: by seconds. In a second in which attempts failed, that part of the calls fails, after the time that the
 *   recorded ones took. A second in which at least half of the attempts timed out is a hang.
 * - A second in which a node was not called says nothing: it is taken to be as it was in the last that says something.
 *
 * What cannot be known is left out: calls from programs that were not recorded (their load is in the latencies, as if
 * it were constant), weights, when nodes came and went, and how a node would have behaved under other load than it had.
 */
import type { FailureModel } from "../testing/simulation/server.ts";
import type { TraceAttempt } from "./record-format.ts";
import { fitCores } from "./replay-cores.ts";
import { beganAt } from "./replay-trace.ts";

export interface FittedNode {
  readonly address: string;
  readonly attempts: number;
  /** Calls at once that do not slow each other down; `Infinity` when none seen did. */
  readonly cores: number;
  /** Samples of the work of a call, in milliseconds; at least one. */
  readonly work: Float64Array;
  /** Changes of its state in ascending order of time; before the first it works. */
  readonly changes: readonly NodeChange[];
}

export interface NodeChange {
  /** Milliseconds from the first attempt of the trace. */
  readonly at: number;
  readonly hangs: boolean;
  readonly failure: FailureModel | undefined;
}

export interface FittedService {
  readonly service: string;
  /** When calls came, in milliseconds from the first; retries are not calls. */
  readonly arrivals: Float64Array;
  readonly processes: number;
  readonly nodes: readonly FittedNode[];
  /** The longest that an attempt was given before it timed out; undefined when none did. */
  readonly timeoutMs: number | undefined;
  readonly attempts: readonly TraceAttempt[];
}

const stretchMs = 1_000;

/** @param attempts of one service, in the order in which they began; at least one. */
export function fitService(service: string, attempts: readonly TraceAttempt[]): FittedService {
  const startMs = beganAt(attempts[0] as TraceAttempt);
  const byNode = Map.groupBy(attempts, ({ address }) => address);
  const timeouts = attempts.filter(isTimeout).map(({ durationMs }) => durationMs);
  // For a node that never succeeded: as the others do.
  const allWork = Float64Array.from(attempts.filter(isSuccess), latencyOf);
  return {
    service,
    arrivals: Float64Array.from(
      attempts.filter(({ attempt }) => attempt === 1),
      (attempt) => beganAt(attempt) - startMs,
    ),
    processes: new Set(attempts.map(({ pid }) => pid)).size,
    nodes: Array.from(byNode.keys())
      .sort()
      .map((address) => fitNode(address, byNode.get(address) ?? [], allWork, startMs)),
    timeoutMs: timeouts.length === 0 ? undefined : Math.max(...timeouts),
    attempts,
  };
}

function fitNode(
  address: string,
  attempts: readonly TraceAttempt[],
  allWork: Float64Array,
  startMs: number,
): FittedNode {
  const { cores, work: own } = fitCores(
    attempts.filter(isSuccess).map((attempt) => ({
      beganAt: beganAt(attempt),
      answeredAt: beganAt(attempt) + latencyOf(attempt),
    })),
    attempts.map((attempt) => ({ beganAt: beganAt(attempt), endedAt: attempt.at })),
  );
  const work = own.length > 0 ? own : allWork.length > 0 ? allWork : Float64Array.of(1);
  return { address, attempts: attempts.length, cores, work, changes: changesOf(attempts, startMs) };
}

function changesOf(attempts: readonly TraceAttempt[], startMs: number): readonly NodeChange[] {
  const stretches = Map.groupBy(attempts, (attempt) => Math.floor((beganAt(attempt) - startMs) / stretchMs));
  const changes: NodeChange[] = [];
  let known: Omit<NodeChange, "at"> = { hangs: false, failure: undefined };
  for (const [stretch, inIt] of stretches) {
    const judged = inIt.filter(({ outcome }) => outcome !== "ignored");
    if (judged.length === 0) continue;
    const timedOut = judged.filter(isTimeout).length;
    const failed = judged.filter((attempt) => attempt.outcome === "failure" && !isTimeout(attempt));
    const hangs = timedOut * 2 >= judged.length;
    const failure =
      failed.length === 0
        ? undefined
        : {
            share: failed.length / judged.length,
            afterMs: failed.reduce((sum, { durationMs }) => sum + durationMs, 0) / failed.length,
          };
    if (hangs === known.hangs && failure === undefined && known.failure === undefined) continue;
    known = { hangs, failure };
    changes.push({ at: stretch * stretchMs, ...known });
  }
  return changes;
}

function isSuccess({ outcome }: TraceAttempt): boolean {
  return outcome === "success";
}

function isTimeout({ outcome, reason }: TraceAttempt): boolean {
  return outcome === "failure" && reason === "timeout";
}

/** To the final headers where they are known: that is what policies are told. */
function latencyOf({ latencyMs, durationMs }: TraceAttempt): number {
  return latencyMs ?? durationMs;
}
