/** Sends the calls of a trace through a policy to the nodes that were fitted to it. */
import type { Policy } from "../core/contracts.ts";
import type { Random } from "../core/random.ts";
import { drawnFrom, recorded } from "../testing/simulation/chance.ts";
import { quantileOfSorted } from "../testing/simulation/quantile.ts";
import { Simulation } from "../testing/simulation/simulation.ts";
import type { FittedService } from "./replay-fit.ts";

/** What the library takes when nothing else is said. */
const defaultAttemptMs = 10_000;

export interface ReplayOptions {
  readonly seed: number;
  /** With retries and ejection as the library has them by default. */
  readonly recovery: boolean;
  /** Default: the longest timeout in the trace, else the library's. */
  readonly attemptMs: number | undefined;
}

export interface ReplayResult {
  readonly calls: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  /** From 0 to 1. */
  readonly failed: number;
  /** Of the attempts, from 0 to 1, in the order of the nodes. */
  readonly shares: readonly number[];
}

export function simulate(
  fitted: FittedService,
  createPolicy: (random: Random) => Policy,
  options: ReplayOptions,
): ReplayResult {
  const { arrivals, nodes, processes } = fitted;
  const simulation = new Simulation({
    seed: options.seed,
    clients: processes,
    servers: nodes.map(({ address, cores, work }) => ({ address, cores, demand: drawnFrom(work) })),
    createPolicy,
    arrivals: recorded(arrivals),
    demand: () => 0,
    attemptMs: options.attemptMs ?? fitted.timeoutMs ?? defaultAttemptMs,
    retry: options.recovery ? {} : false,
    ejection: options.recovery,
    measureFromMs: 0,
    endMs: (arrivals.at(-1) ?? 0) + 1,
  });
  for (const [index, { changes }] of nodes.entries()) {
    const server = simulation.server(index);
    for (const { at, hangs, failure } of changes) {
      simulation.at(at, () => {
        server.failure = failure;
        server.setSpeed(hangs ? 0 : 1);
      });
    }
  }
  const result = simulation.run();
  return {
    calls: result.calls,
    p50: quantileOfSorted(result.latencies, 0.5),
    p90: quantileOfSorted(result.latencies, 0.9),
    p99: quantileOfSorted(result.latencies, 0.99),
    failed: result.calls === 0 ? 0 : result.failed / result.calls,
    shares: nodes.map((_, index) => result.share(index)),
  };
}
