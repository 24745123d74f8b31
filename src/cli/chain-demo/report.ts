/** The results of a chain run for people: a table of phases, and what it comes to. */
import { columns, integer, milliseconds } from "../demo/table.ts";
import type { ChainResult, ChainResults } from "./results.ts";

export function chainReportOf({ phases, options }: ChainResults): string {
  const head = ["phase", "", "without C: failed", "p99", "with C: failed", "p99", "B: most in flight"];
  const rows = phases.flatMap(({ title, evenkeel, plain }) => [
    [title, "Evenkeel", ...cellsOf(evenkeel)],
    ...(plain === undefined ? [] : [["", "plain undici", ...cellsOf(plain)]]),
  ]);
  const failed = phases.reduce((sum, { evenkeel }) => sum + evenkeel.withoutC.failed, 0);
  const calls = phases.reduce((sum, { evenkeel }) => sum + evenkeel.withoutC.calls, 0);
  return [
    "",
    ...columns([head, ...rows], "llrrrrr"),
    "",
    `Of ${integer(calls)} calls through Evenkeel that do not need C ${failed === 0 ? "none" : integer(failed)} failed.`,
    `A call has ${integer(options.deadlineMs)} ms. Times count from when a call was due until it ended, well or not.`,
    "One run on this machine: it shows what happens to the calls, and is no benchmark.",
    "",
  ].join("\n");
}

function cellsOf({ withC, withoutC, mostInflight }: ChainResult): readonly string[] {
  return [
    `${integer(withoutC.failed)} of ${integer(withoutC.calls)}`,
    milliseconds(withoutC.p99Ms),
    `${integer(withC.failed)} of ${integer(withC.calls)}`,
    milliseconds(withC.p99Ms),
    integer(mostInflight),
  ];
}
