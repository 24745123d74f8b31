/**
 * The chain A -> B -> C through each of its faults, with Evenkeel and over plain undici: writes the table of
 * docs/resilience.md and docs/chain.svg.
 *
 * Run: `npm run bench:chain`, on a machine that does nothing else. The tests of test/chain play the same.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import type { ChainKind } from "../src/cli/chain/messages.ts";
import { type EpisodeResult, playUndisturbed } from "../test/chain/support/episode.ts";
import { failingC, frozenC, overloadedB, retriedC, slowC } from "../test/chain/support/episodes.ts";
import { type EpisodeFigures, figuresOf, tableOf, whole } from "../test/chain/support/figures.ts";
import { plot } from "./chain/plot.ts";

const frozen = frozenC(20);
const all: EpisodeFigures[] = [];
const frozenRuns = new Map<ChainKind, EpisodeResult>();

for (const episode of [frozen, slowC, failingC, retriedC(9.8), overloadedB]) {
  for (const kind of ["evenkeel", "plain"] as const) {
    const result = await playUndisturbed(episode, kind);
    if (episode === frozen) frozenRuns.set(kind, result);
    all.push(figuresOf(episode.name, kind, result, episode.workersOfB));
    console.error(
      `${episode.name}, ${kind}: ${result.during.failed} of ${result.during.calls.length} failed`,
    );
  }
}

const table = tableOf(all);
console.log(table);
write(
  "resilience.md",
  [
    `Written by \`npm run bench:chain\` on Node.js ${process.versions.node} with ${availableParallelism()} cores (${cpus()[0]?.model.trim()}), which all processes and the caller share.`,
    "",
    table,
    "",
    capacityOf(all),
  ].join("\n"),
);
writeFileSync(
  new URL("../docs/chain.svg", import.meta.url),
  plot("The chain while C is frozen", [
    {
      label: "Evenkeel on both sides",
      colour: "#009e73",
      result: frozenRuns.get("evenkeel") as EpisodeResult,
    },
    { label: "plain undici", colour: "#d55e00", result: frozenRuns.get("plain") as EpisodeResult },
  ]),
);

/** Between two comments of a page. @throws Error when they are not there. */
function write(page: string, text: string): void {
  const url = new URL(`../docs/${page}`, import.meta.url);
  const parts = /^(.*<!-- figures: begin -->\n).*(\n<!-- figures: end -->.*)$/s.exec(
    readFileSync(url, "utf8"),
  );
  if (parts === null) throw new Error(`docs/${page} has no place for the figures`);
  writeFileSync(url, `${parts[1]}${text}${parts[2]}`);
}

function capacityOf(figures: readonly EpisodeFigures[]): string {
  return figures
    .filter(({ fault }) => fault === overloadedB.name)
    .map(({ kind, answered, capacity }) => {
      const share = whole((100 * answered) / capacity);
      const chain = kind === "evenkeel" ? "With Evenkeel" : "over plain undici";
      return `${chain} ${whole(answered)} calls a second were answered in time of the ${whole(capacity)} that B could do (${share}%)`;
    })
    .join(", ")
    .replace("With Evenkeel", "While B was overloaded, with Evenkeel")
    .concat(".");
}
