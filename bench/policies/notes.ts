/** The figures of the table in algorithms.md, "Our default policy: least cost", and how ours stand to them. */
import type { Figures } from "./measure-policy.ts";

type Column = Readonly<Record<string, number>>;

export interface NotedColumn {
  readonly scenario: string;
  readonly title: string;
  readonly metric: "p99" | "failed";
  /** By policy: milliseconds, or percent of the calls. */
  readonly noted: Column;
  /** What the notes have in brackets: percent of the calls that failed. */
  readonly notedFailed?: Column;
  /** What is known of why ours is otherwise. */
  readonly remark?: string;
}

export const notedColumns: readonly NotedColumn[] = [
  {
    scenario: "plain-70",
    title: "plain, load 0.7",
    metric: "p99",
    noted: { random: 128, roundRobin: 90, leastRequest: 93, peakEwma: 94, leastCost: 85 },
  },
  {
    scenario: "plain-90",
    title: "plain, load 0.9",
    metric: "p99",
    noted: { random: 414, roundRobin: 191, leastRequest: 154, peakEwma: 159, leastCost: 117 },
  },
  {
    scenario: "slow",
    title: "20% of nodes 3x slower",
    metric: "p99",
    noted: { random: 1000, roundRobin: 1000, leastRequest: 578, peakEwma: 140, leastCost: 97 },
    notedFailed: { random: 11, roundRobin: 11 },
  },
  {
    scenario: "hang",
    title: "one hangs",
    metric: "p99",
    noted: { random: 1000, roundRobin: 1000, leastRequest: 135, peakEwma: 104, leastCost: 89 },
    notedFailed: { random: 4.6, roundRobin: 4.5, leastRequest: 0.91, peakEwma: 0.08, leastCost: 0.05 },
    remark:
      "Where about 1% of the calls fail, the 99th percentile is either the timeout or an ordinary answer: compare what failed.",
  },
  {
    scenario: "fails",
    title: "one fails fast",
    metric: "failed",
    noted: { random: 4.7, roundRobin: 4.7, leastRequest: 5.4, peakEwma: 9.1, leastCost: 0.08 },
    remark:
      "Our Peak EWMA counts a failure as 5 s, as Linkerd does; that of the notes seems to have counted it as it was, a fast answer.",
  },
  {
    scenario: "cold",
    title: "cold join",
    metric: "p99",
    noted: { random: 1000, roundRobin: 1000, leastRequest: 232, peakEwma: 171, leastCost: 110 },
    notedFailed: { random: 2.2, roundRobin: 2.3 },
    remark:
      "Here warm-up is on for every policy that obeys weights, which is all but round robin; the notes give random and round robin the same figures, so theirs had none.",
  },
  {
    scenario: "gc",
    title: "GC pauses",
    metric: "p99",
    noted: { random: 308, roundRobin: 283, leastRequest: 173, peakEwma: 243, leastCost: 121 },
  },
  {
    scenario: "thousand",
    title: "1,000 clients x 100 nodes x 1/s",
    metric: "p99",
    noted: { random: 1401, roundRobin: 1378, leastRequest: 1481, peakEwma: 1305, leastCost: 1181 },
  },
];

/** How far a figure may be from the notes' to count as about that size. */
const nearly = 1.25;

/** A Markdown section. */
export function compareWithNotes(results: ReadonlyMap<string, ReadonlyMap<string, Figures>>): string {
  const lines = [
    "## Against algorithms.md",
    "",
    "99th percentile in ms (failed %), or failed % alone: notes → here. The notes do not give all of their settings, so",
    `orders of magnitude count. The last column says whether least cost has the same place among the five, and whether`,
    `it is within a factor of ${nearly} of the notes' figure.`,
    "",
    "| | random | round robin | least request | peak EWMA | least cost | least cost |",
    "|---|---:|---:|---:|---:|---:|---|",
  ];
  const remarks: string[] = [];
  for (const column of notedColumns) {
    const measured = results.get(column.scenario);
    if (measured === undefined) continue;
    const cells = Object.entries(column.noted).map(([policy, noted]) => {
      const figures = measured.get(policy);
      return figures === undefined ? "" : cell(column, policy, noted, figures);
    });
    lines.push(`| ${column.title} | ${cells.join(" | ")} | ${verdict(column, measured)} |`);
    if (column.remark !== undefined) remarks.push(`- ${column.title}: ${column.remark}`);
  }
  return [...lines, "", ...remarks].join("\n");
}

function cell(column: NotedColumn, policy: string, noted: number, figures: Figures): string {
  if (column.metric === "failed") return `${noted} → ${percent(figures.failed)}`;
  const notedFailed = column.notedFailed?.[policy];
  const failed = notedFailed === undefined ? "" : ` (${notedFailed})`;
  return `${noted}${failed} → ${figures.p99.toFixed(0)}${figures.failed === 0 ? "" : ` (${percent(figures.failed)})`}`;
}

function verdict({ metric, noted }: NotedColumn, measured: ReadonlyMap<string, Figures>): string {
  const ours: Record<string, number> = {};
  for (const policy of Object.keys(noted)) {
    const figures = measured.get(policy);
    if (figures !== undefined) ours[policy] = metric === "p99" ? figures.p99 : 100 * figures.failed;
  }
  const own = ours.leastCost ?? Number.NaN;
  const theirs = noted.leastCost ?? Number.NaN;
  const place = placeOf(ours);
  const notedPlace = placeOf(noted);
  const ratio = own / theirs;
  const sameSize = ratio < nearly && ratio > 1 / nearly;
  const order = place === notedPlace ? `place ${place}, as noted` : `**place ${place}, noted ${notedPlace}**`;
  const size = `${ratio.toFixed(2)} of the noted figure`;
  return `${order}; ${sameSize ? size : `**${size}**`}`;
}

function placeOf(column: Column): number {
  const own = column.leastCost ?? Number.NaN;
  return 1 + Object.values(column).filter((value) => value < own).length;
}

function percent(share: number): string {
  return (100 * share).toFixed(share < 0.01 ? 2 : 1);
}
