/** The results of the policy bench as Markdown. */
import { type Figures, stretches } from "./measure-policy.ts";
import type { Scenario } from "./scenarios.ts";

/** A Markdown section: the scenario in words, and a row for each policy. */
export function describeScenario(scenario: Scenario, results: ReadonlyMap<string, Figures>): string {
  const calls = Math.min(...Array.from(results.values(), (figures) => figures.calls));
  const seeds = scenario.seeds === 1 ? "one seed" : `${scenario.seeds} seeds`;
  const lines = [
    `### ${sentence(scenario.title)}`,
    "",
    `${scenario.what} Share: ${scenario.specialName}. ${calls.toLocaleString("en")} calls or more a policy, ${seeds}.`,
    "",
    "| policy | p50 | p90 | p99 (seeds) | p99.9 | failed % | share % | max. in flight |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
  ];
  for (const [name, figures] of results) {
    const { p50, p90, p99, p999, p99Range, failed, share, mostInflight } = figures;
    const range = scenario.seeds === 1 ? "" : ` (${ms(p99Range[0])} to ${ms(p99Range[1])})`;
    lines.push(
      `| ${name} | ${ms(p50)} | ${ms(p90)} | ${ms(p99)}${range} | ${ms(p999)} | ${percent(failed)} | ${percent(share)} | ${mostInflight} |`,
    );
  }
  if (scenario.id.startsWith("pause")) lines.push("", ...shareOverTime(results));
  return lines.join("\n");
}

function shareOverTime(results: ReadonlyMap<string, Figures>): readonly string[] {
  const heads = stretches.map(([from, until]) => `${from} to ${until} s`);
  return [
    "Its share of the attempts in % after the pause, which is over at 0.75 s:",
    "",
    `| policy | ${heads.join(" | ")} |`,
    `|---|${heads.map(() => "---:|").join("")}`,
    ...Array.from(
      results,
      ([name, figures]) => `| ${name} | ${figures.shareOverTime.map(percent).join(" | ")} |`,
    ),
  ];
}

function sentence(title: string): string {
  return title.slice(0, 1).toUpperCase() + title.slice(1);
}

function ms(value: number): string {
  return Number.isNaN(value) ? "" : value.toFixed(value < 10 ? 1 : 0);
}

function percent(share: number): string {
  if (share === 0) return "0";
  return (100 * share).toFixed(share < 0.01 ? 2 : 1);
}
