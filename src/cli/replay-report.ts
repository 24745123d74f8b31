/** What a replay found, as text for people. */
import { quantileOfSorted } from "../testing/simulation/quantile.ts";
import { columns, integer, milliseconds, percent, plural } from "./demo/table.ts";
import type { FittedNode, FittedService } from "./replay-fit.ts";
import type { ReplayResult } from "./replay-simulation.ts";

export interface NamedResult extends ReplayResult {
  readonly name: string;
}

export function reportOf(fitted: FittedService, results: readonly NamedResult[], recovery: boolean): string {
  const { service, arrivals, attempts, nodes, processes } = fitted;
  const seconds = (arrivals.at(-1) ?? 0) / 1_000;
  return [
    `${service}: ${plural(attempts.length, "attempt")} for ${plural(arrivals.length, "call")} in ${seconds.toFixed(1)} s, from ${processes === 1 ? "1 process" : `${processes} processes`}`,
    "",
    `Estimate by simulation${recovery ? ", with retries and ejection as by default" : ", without retries and ejection"}:`,
    "",
    ...columns(latencyRows(fitted, results), "lrrrr"),
    "",
    "Share of the attempts, and what was fitted:",
    "",
    ...columns(shareRows(nodes, attempts.length, results), `l${"r".repeat(results.length + 4)}`),
    "",
  ].join("\n");
}

function latencyRows({ attempts }: FittedService, results: readonly NamedResult[]): readonly string[][] {
  const judged = attempts.filter(({ outcome }) => outcome !== "ignored");
  const latencies = Float64Array.from(
    judged.filter(({ outcome, reason }) => outcome === "success" || reason === "timeout"),
    ({ latencyMs, durationMs }) => latencyMs ?? durationMs,
  ).sort();
  const failed = judged.filter(({ outcome }) => outcome === "failure").length;
  const figures = (p50: number, p90: number, p99: number, share: number): string[] => [
    ...[p50, p90, p99].map((ms) => (Number.isNaN(ms) ? "-" : milliseconds(ms))),
    share === 0 ? "0%" : `${(100 * share).toFixed(2)}%`,
  ];
  return [
    ["policy", "p50", "p90", "p99", "failed"],
    ...results.map(({ name, p50, p90, p99, failed: share }) => [name, ...figures(p50, p90, p99, share)]),
    [
      "as recorded (attempts)",
      ...figures(
        quantileOfSorted(latencies, 0.5),
        quantileOfSorted(latencies, 0.9),
        quantileOfSorted(latencies, 0.99),
        judged.length === 0 ? 0 : failed / judged.length,
      ),
    ],
  ];
}

function shareRows(
  nodes: readonly FittedNode[],
  attempts: number,
  results: readonly NamedResult[],
): readonly string[][] {
  return [
    ["node", ...results.map(({ name }) => name), "recorded", "median work", "at once", "trouble"],
    ...nodes.map((node, index) => [
      node.address,
      ...results.map(({ shares }) => percent(shares[index] ?? 0)),
      percent(node.attempts / attempts),
      milliseconds(quantileOfSorted(Float64Array.from(node.work).sort(), 0.5)),
      Number.isFinite(node.cores) ? integer(node.cores) : "no limit seen",
      node.changes.some(({ hangs, failure }) => hangs || failure !== undefined) ? "yes" : "no",
    ]),
  ];
}
