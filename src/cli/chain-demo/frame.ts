/** What the chain demo's live view shows at one moment, as lines. */
import type { CallBook } from "../demo/call-book.ts";
import type { Paint } from "../demo/screen.ts";
import { bar, progressBar } from "../demo/sparkline.ts";
import { columns, integer, milliseconds, percent } from "../demo/table.ts";
import type { ChainLane } from "./chain-lane.ts";
import type { ChainRun } from "./chain-run.ts";
import { chainPhases } from "./phases.ts";

/** Half-second bars that fit beside the counters on 100 columns. */
const barsShown = 30;

export function chainFrameOf(run: ChainRun, now: number, paint: Paint): readonly string[] {
  const { phase, expectedMs, lanes } = run;
  const elapsedMs = Math.min(now - run.startedAt, expectedMs);
  const seconds = (ms: number): string => String(Math.round(ms / 1_000));
  return [
    `${paint("bold", "evenkeel demo --chain")}  ${progressBar(elapsedMs / expectedMs, 30)}  ${seconds(elapsedMs)} of ${seconds(expectedMs)} s`,
    "",
    paint("bold", `Phase ${chainPhases.indexOf(phase) + 1} of ${chainPhases.length}: ${phase.title}`),
    phase.story,
    "",
    ...callLines(lanes, paint),
    ...lanes.flatMap((lane) => ["", paint("bold", lane.name), ...layerLines(lane, paint)]),
    "",
    paint("dim", "Ctrl-C ends it, and leaves no process behind."),
  ];
}

function callLines(lanes: readonly ChainLane[], paint: Paint): readonly string[] {
  const head = ["", "calls at A", "failed now", "p50 now", "p99 now", "slowest of each half second"];
  const rows = lanes.flatMap((lane) => [
    [`${lane.name}, without C`, ...cellsOf(lane.withoutC, paint)],
    [`${lane.name}, with C`, ...cellsOf(lane.withC, paint)],
  ]);
  return columns([head.map((cell) => paint("dim", cell)), ...rows], "lrrrrl");
}

function cellsOf(book: CallBook, paint: Paint): readonly string[] {
  const tally = book.tallies.at(-1);
  if (tally === undefined) return [];
  const { p50Ms, p99Ms } = tally.latency;
  const failed = integer(tally.failed);
  return [
    integer(book.calls),
    tally.failed === 0 ? paint("green", failed) : paint("red", failed),
    milliseconds(p50Ms),
    milliseconds(p99Ms),
    book.slots
      .slice(-barsShown)
      .map((slot) => (slot.failed > 0 ? paint("red", bar(slot.worstMs)) : bar(slot.worstMs)))
      .join(""),
  ];
}

function layerLines({ layers }: ChainLane, paint: Paint): readonly string[] {
  const head = [
    ...["layer", "requests/s", "failed/s", "in flight", "shed/s", "memory"],
    ...["calls below: in flight", "refused/s", "breaker refuses"],
  ];
  const rows = layers.map(({ name, requests, failed, inflight, shed, rssBytes, below }) => [
    name,
    integer(requests),
    integer(failed),
    integer(inflight),
    integer(shed),
    `${integer(rssBytes / 2 ** 20)} MiB`,
    ...(below === undefined
      ? ["-", "-", "-"]
      : [
          integer(below.inflight),
          integer(below.refused),
          below.shedding > 0 ? paint("yellow", percent(below.shedding)) : percent(0),
        ]),
  ]);
  return columns([head.map((cell) => paint("dim", cell)), ...rows], "lrrrrrrrr");
}
