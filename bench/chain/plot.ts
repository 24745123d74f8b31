/** The frozen chain over time as a picture: how long calls took that do not need C, and how many calls were answered. */
import type { ChainCall, EpisodeResult } from "../../test/chain/support/episode.ts";
import { percentile } from "../../test/support/percentile.ts";

export interface PlottedRun {
  readonly label: string;
  readonly colour: string;
  readonly result: EpisodeResult;
}

interface Panel {
  readonly title: string;
  readonly top: number;
  readonly ticks: readonly number[];
  /** From 0 at the bottom to 1 at the top. */
  height(value: number): number;
  value(calls: readonly ChainCall[]): number;
}

const width = 900;
const left = 70;
const right = 20;
const panelHeight = 170;
const bottomOfAll = 530;
/** What is measured over each. */
const stepMs = 500;

const panels: readonly Panel[] = [
  {
    title: "Calls that do not need C: 99th percentile of each half second, ms (logarithmic)",
    top: 90,
    ticks: [5, 10, 20, 50, 100, 200, 500, 1_000, 2_000],
    height: (ms) => Math.log(Math.min(2_000, Math.max(5, ms)) / 5) / Math.log(2_000 / 5),
    value: (calls) =>
      percentile(
        calls.filter(({ needsC }) => !needsC).map(({ tookMs }) => tookMs),
        0.99,
      ),
  },
  {
    title: "All calls: answered well within each second",
    top: 310,
    ticks: [0, 100, 200, 300, 400, 500],
    height: (rate) => Math.min(1, rate / 550),
    // A call counts when it was due: what it was answered with later is how that moment went.
    value: (calls) => (calls.filter(({ failure }) => failure === undefined).length * 1_000) / stepMs,
  },
];

/** An SVG document. @param runs of the same length, with the fault at the same time. */
export function plot(title: string, runs: readonly PlottedRun[]): string {
  const [first] = runs;
  if (first === undefined) throw new RangeError("there is nothing to plot");
  const { faultFromMs, faultUntilMs } = first.result;
  const endMs = Math.max(...first.result.all.calls.map(({ dueMs }) => dueMs));
  const x = (ms: number): number => left + (ms / endMs) * (width - left - right);
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottomOfAll}" width="${width}" height="${bottomOfAll}" font-family="sans-serif" font-size="13" role="img" aria-label="${title}">`,
    `<rect width="${width}" height="${bottomOfAll}" fill="#ffffff"/>`,
    text(width / 2, 24, title, 'text-anchor="middle" font-size="16" font-weight="bold" fill="#222222"'),
    ...runs.flatMap(({ label, colour }, index) => legend(label, colour, left + index * 220)),
    ...panels.flatMap((panel) => [
      `<rect x="${fixed(x(faultFromMs))}" y="${panel.top}" width="${fixed(x(faultUntilMs) - x(faultFromMs))}" height="${panelHeight}" fill="#f2f2f2"/>`,
      text(left, panel.top - 8, panel.title, 'fill="#444444"'),
      ...panel.ticks.flatMap((tick) => gridLine(panel, tick)),
      ...runs.map(({ colour, result }) => line(panel, colour, result, endMs, x)),
    ]),
    text(
      x((faultFromMs + faultUntilMs) / 2),
      90 + 16,
      "all of C is frozen",
      'text-anchor="middle" fill="#666666"',
    ),
    ...Array.from({ length: Math.floor(endMs / 5_000) + 1 }, (_, index) =>
      text(
        x(index * 5_000),
        310 + panelHeight + 20,
        String(index * 5),
        'text-anchor="middle" fill="#444444"',
      ),
    ),
    text((left + width - right) / 2, bottomOfAll - 10, "seconds", 'text-anchor="middle" fill="#444444"'),
    "</svg>",
  ].join("\n")}\n`;
}

function line(
  { top, height, value }: Panel,
  colour: string,
  { all: { calls } }: EpisodeResult,
  endMs: number,
  x: (ms: number) => number,
): string {
  const points: string[] = [];
  for (let fromMs = 0; fromMs + stepMs <= endMs + 1; fromMs += stepMs) {
    const due = calls.filter(({ dueMs }) => dueMs >= fromMs && dueMs < fromMs + stepMs);
    const y = top + panelHeight * (1 - height(value(due)));
    points.push(`${fixed(x(fromMs + stepMs / 2))},${fixed(y)}`);
  }
  return `<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`;
}

function gridLine({ top, height }: Panel, tick: number): readonly string[] {
  const y = fixed(top + panelHeight * (1 - height(tick)));
  return [
    `<line x1="${left}" y1="${y}" x2="${width - right}" y2="${y}" stroke="#dddddd"/>`,
    text(left - 8, Number(y) + 4, tick.toLocaleString("en-US"), 'text-anchor="end" fill="#444444"'),
  ];
}

function legend(label: string, colour: string, at: number): readonly string[] {
  return [
    `<line x1="${at}" y1="48" x2="${at + 30}" y2="48" stroke="${colour}" stroke-width="3"/>`,
    text(at + 38, 52, label, 'fill="#222222"'),
  ];
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" ${attributes}>${content}</text>`;
}

function fixed(value: number): string {
  return value.toFixed(1);
}
