/** What an episode comes to, in numbers: for the tests to judge, and for the table in docs/resilience.md. */
import type { ChainKind } from "../../../src/cli/chain/messages.ts";
import type { EpisodeResult, Part } from "./episode.ts";

export interface Figures {
  readonly calls: number;
  readonly failed: number;
  /** Good answers a second. */
  readonly goodput: number;
  readonly p99Ms: number;
  readonly typicalP99Ms: number;
  readonly worstMedianMs: number;
  readonly slowestMs: number;
  /** How long the machine held up calls before they were sent. */
  readonly heldUpMs: number;
  readonly failures: string;
  /** The part of the calls that took longer, from 0 to 1. */
  lateShare(ms: number): number;
}

export interface EpisodeFigures {
  readonly fault: string;
  readonly kind: ChainKind;
  readonly faultSeconds: number;
  readonly withC: Readonly<Record<Phase, Figures>>;
  readonly withoutC: Readonly<Record<Phase, Figures>>;
  /** Requests that one process of B had at once, at the most. */
  readonly mostInflight: number;
  /** How much more memory one process of B took than when the fault began, at the most, in MiB. */
  readonly memoryGrowth: number;
  /** Requests that C got, a second, while the fault lasted. */
  readonly cRequests: number;
  /** Good answers a second that came while the fault lasted, whenever their calls were due. */
  readonly answered: number;
  /** What B's workers could do, a second, by what they took for each request while the fault lasted. */
  readonly capacity: number;
}

export type Phase = "before" | "during" | "after" | "all";

const mebibyte = 2 ** 20;

/** @param workers of all of B during the fault. */
export function figuresOf(
  fault: string,
  kind: ChainKind,
  result: EpisodeResult,
  workers: number,
): EpisodeFigures {
  const { faultFromMs, faultUntilMs, samples } = result;
  const faultSeconds = (faultUntilMs - faultFromMs) / 1_000;
  const within = samples.filter(({ atMs }) => atMs >= faultFromMs && atMs <= faultUntilMs);
  const first = within[0]?.b ?? [];
  const last = within.at(-1)?.b ?? [];
  const grown = within.flatMap(({ b }) =>
    b.map(({ rssBytes }, index) => rssBytes - (first[index]?.rssBytes ?? 0)),
  );
  const sum = (of: (index: number) => number): number =>
    last.reduce((total, _, index) => total + of(index), 0);
  const worked = sum((index) => (last[index]?.worked ?? 0) - (first[index]?.worked ?? 0));
  const workedMs = sum((index) => (last[index]?.workedMs ?? 0) - (first[index]?.workedMs ?? 0));
  const answered = result.all.calls.filter(({ dueMs, tookMs, failure }) => {
    const endedMs = dueMs + tookMs;
    return failure === undefined && endedMs >= faultFromMs && endedMs < faultUntilMs;
  }).length;
  const [cBefore, cAfter] = result.cRequests;
  return {
    fault,
    kind,
    faultSeconds,
    withC: eachPhase((phase) => figures(result[phase].withC)),
    withoutC: eachPhase((phase) => figures(result[phase].withoutC)),
    mostInflight: Math.max(0, ...samples.flatMap(({ b }) => b.map(({ inflight }) => inflight))),
    memoryGrowth: Math.max(0, ...grown) / mebibyte,
    cRequests: (cAfter - cBefore) / faultSeconds,
    answered: answered / faultSeconds,
    capacity: (workers * 1_000 * worked) / workedMs,
  };
}

function eachPhase(of: (phase: Phase) => Figures): Readonly<Record<Phase, Figures>> {
  return { before: of("before"), during: of("during"), after: of("after"), all: of("all") };
}

function figures(part: Part): Figures {
  return {
    calls: part.calls.length,
    failed: part.failed,
    goodput: part.goodput,
    p99Ms: part.percentile(0.99),
    typicalP99Ms: part.typicalP99Ms,
    worstMedianMs: part.worstMedianMs,
    slowestMs: part.percentile(1),
    heldUpMs: part.heldUpMs,
    failures: part.describeFailures(),
    lateShare: (ms) => part.calls.filter(({ tookMs }) => tookMs > ms).length / part.calls.length,
  };
}

/** A row for each, of a table in Markdown. */
export function tableOf(all: readonly EpisodeFigures[]): string {
  return [
    "| Fault | Chain | Calls without C: failed | their p99 before, during, after | Calls that need C: answered/s before, during, after | slowest during | B: most in flight, memory | C: requests/s |",
    "|---|---|---|---|---|---|---|---|",
    ...all.map(rowOf),
  ].join("\n");
}

function rowOf({
  fault,
  kind,
  withC,
  withoutC,
  mostInflight,
  memoryGrowth,
  cRequests,
}: EpisodeFigures): string {
  const phases = ["before", "during", "after"] as const;
  const { calls, failed } = withoutC.during;
  const hasC = withC.during.calls > 0;
  const cells = [
    fault,
    kind === "evenkeel" ? "**Evenkeel**" : "plain undici",
    `${whole(failed)} of ${whole(calls)}`,
    `${phases.map((phase) => whole(withoutC[phase].p99Ms)).join(", ")} ms`,
    hasC ? phases.map((phase) => whole(withC[phase].goodput)).join(", ") : "none",
    hasC ? `${whole(withC.during.slowestMs)} ms` : "",
    `${whole(mostInflight)}, +${whole(memoryGrowth)} MiB`,
    hasC ? whole(cRequests) : "",
  ];
  return `| ${cells.join(" | ")} |`;
}

/** `8,000` */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
