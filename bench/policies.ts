/**
 * The policies compared in virtual time: many clients and nodes, seeded, without a socket. Writes `policies.md` and
 * `policies.svg` beside it.
 *
 * Run: `npm run bench:policies`. With names of scenarios (`node bench/policies.ts hang gc`) it prints those and writes
 * nothing.
 */
import { writeFileSync } from "node:fs";
import { checkModel } from "./policies/checks.ts";
import { asItComes, contenders, type Figures, measurePolicy } from "./policies/measure-policy.ts";
import { compareWithNotes, notedColumns } from "./policies/notes.ts";
import { plot } from "./policies/plot.ts";
import { describeScenario } from "./policies/report.ts";
import { scenarios } from "./policies/scenarios.ts";

const head = `# The policies compared

Written by \`npm run bench:policies\`: a simulation in virtual time, with the library as it is (each client is a
\`Cluster\` of its own) over simulated servers. The same code gives the same figures on any machine.

A server has so many cores; a job runs on one of them at most, and more jobs than cores share them alike. Calls arrive
by chance (Poisson), each from a client by chance. Unless it says otherwise: 20 clients, 20 servers of 4 cores, 0.7 of
what they can do; the work of a call is a normal distribution of mean and deviation 20 ms, cut off at 0, which leaves
25.8 ms; 5 s to settle and 25 s that are measured; a call fails after 1,000 ms, which is then its latency; its work is
dropped by the server. No retries and no ejection, as both would hide what a policy picks. Nothing travels: a node knows
of a call at once. Most in flight is of one server, from all clients. Averages of node and fleet fade and refresh on
the 100 ms tick, as they do in the library, because it is the library.

The settings were chosen to come near the plain column of algorithms.md, which does not give its own.`;

const wanted = process.argv.slice(2);
const chosen = wanted.length === 0 ? scenarios : scenarios.filter(({ id }) => wanted.includes(id));
const startedAt = performance.now();
const sections: string[] = [];
const results = new Map<string, ReadonlyMap<string, Figures>>();

function add(section: string): void {
  console.log(`\n${section}`);
  sections.push(section);
}

if (wanted.length === 0) add(checkModel());
for (const scenario of chosen) {
  const figures = new Map<string, Figures>();
  for (const contender of scenario.withDefaults ? [...contenders, asItComes] : contenders) {
    figures.set(contender.name, measurePolicy(scenario, contender));
  }
  results.set(scenario.id, figures);
  add(describeScenario(scenario, figures));
}
add(compareWithNotes(results));
console.error(`\n${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);

if (wanted.length === 0) {
  // Where nothing goes wrong for long the question is not how long calls take, but where they go.
  const told = scenarios.filter(({ id }) => notedColumns.some(({ scenario }) => scenario === id));
  const rows = told.map(({ id, title }) => ({
    label: title,
    values: new Map(
      contenders.map(({ name }) => [name, results.get(id)?.get(name)?.p99 ?? Number.NaN] as const),
    ),
  }));
  writeFileSync(
    new URL("policies.svg", import.meta.url),
    plot("99th percentile by policy and trouble", rows),
  );
  const [check = "", ...rest] = sections;
  const comparison = rest.pop() ?? "";
  const picture = "![99th percentiles of all policies in the scenarios of algorithms.md](policies.svg)";
  const parts = [head, picture, check, comparison, "## Scenarios", ...rest];
  writeFileSync(new URL("policies.md", import.meta.url), `${parts.join("\n\n")}\n`);
}
