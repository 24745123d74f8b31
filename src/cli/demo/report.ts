/** The results for people: a table of phases, why calls failed, and what it comes to. */
import type { PhaseResult, Results, SystemResult, Totals } from "./results.ts";
import { columns, integer, milliseconds, percent, plural } from "./table.ts";

type System = "evenkeel" | "balancedPool";

const names: Readonly<Record<System, string>> = { evenkeel: "Evenkeel", balancedPool: "BalancedPool" };
/** The most kinds of failure that are listed for one system. */
const mostKinds = 3;
/** An error's message names every node that was tried; more than this nobody reads. */
const longestSample = 300;

export function reportOf(results: Results): string {
  return [
    "",
    ...tableOf(results.phases),
    "",
    ...failureLines(results, "evenkeel"),
    ...failureLines(results, "balancedPool"),
    ...summaryOf(results),
    "",
  ].join("\n");
}

function tableOf(phases: readonly PhaseResult[]): readonly string[] {
  const head = ["phase", "", "calls", "failed", "p50", "p99", "to bad nodes"];
  const rows = phases.flatMap(({ title, bad, evenkeel, balancedPool }) => [
    [title, ...cellsOf("evenkeel", evenkeel, bad.length > 0)],
    ...(balancedPool === undefined ? [] : [["", ...cellsOf("balancedPool", balancedPool, bad.length > 0)]]),
  ]);
  return columns([head, ...rows], "llrrrrr");
}

function cellsOf(system: System, result: SystemResult, hasBadNode: boolean): readonly string[] {
  return [
    names[system],
    integer(result.calls),
    integer(result.failed),
    milliseconds(result.p50Ms),
    milliseconds(result.p99Ms),
    hasBadNode ? percent(result.badShare) : "-",
  ];
}

function failureLines({ phases }: Results, system: System): readonly string[] {
  const counts = new Map<string, { count: number; sample: string; titles: string[] }>();
  for (const { title, [system]: result } of phases) {
    for (const { reason, count, sample } of result?.failures ?? []) {
      const known = counts.get(reason) ?? { count: 0, sample, titles: [] };
      counts.set(reason, {
        count: known.count + count,
        sample: known.sample,
        titles: [...known.titles, title],
      });
    }
  }
  if (counts.size === 0) return [];
  const sorted = Array.from(counts).sort(([, a], [, b]) => b.count - a.count);
  const lines = sorted
    .slice(0, mostKinds)
    .map(
      ([reason, { count, sample, titles }]) =>
        `  ${integer(count)} x ${reason} (${titles.join("; ")}), the first: ${sample.slice(0, longestSample)}`,
    );
  if (sorted.length > mostKinds) lines.push(`  and ${plural(sorted.length - mostKinds, "more kind")}`);
  return [`Why calls through ${names[system]} failed:`, ...lines, ""];
}

function summaryOf({ phases, totals: { evenkeel, balancedPool } }: Results): readonly string[] {
  const verdicts = [verdictOn("Evenkeel", evenkeel)];
  if (balancedPool !== undefined) {
    verdicts.push(verdictOn("BalancedPool", balancedPool));
    const slower = phases.filter((phase) => phase.evenkeel.p99Ms > (phase.balancedPool?.p99Ms ?? 0) * 1.1);
    if (slower.length > 0) {
      verdicts.push(`Evenkeel's p99 was the higher one in: ${slower.map(({ title }) => title).join("; ")}.`);
    }
  }
  return [
    verdicts.join(" "),
    "Times count from when a call was due until it ended, well or not; failed calls that ended at once count as fast.",
    "One run in one process on this machine: it shows what happens to the calls, and is no benchmark.",
  ];
}

function verdictOn(name: string, { calls, failed }: Totals): string {
  if (failed === 0) return `${name}: none of ${plural(calls, "call")} failed.`;
  return `${name}: ${integer(failed)} of ${plural(calls, "call")} failed (${percent(failed / calls)}).`;
}
