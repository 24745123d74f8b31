/** Plays an episode over both chains, prints what came of it, and asserts what holds for Evenkeel under any fault of C. */
import { expect } from "vitest";
import { deadlineMs } from "../../../src/cli/chain/plan.ts";
import { type Episode, play, playUndisturbed } from "./episode.ts";
import { type EpisodeFigures, type Figures, figuresOf, tableOf, whole } from "./figures.ts";

export interface Judged {
  readonly evenkeel: EpisodeFigures;
  readonly plain: EpisodeFigures;
}

/**
 * On two cores, with everything on them, a pause of some milliseconds is the machine's and not the chain's. What it held up
 * the test's own process at the time it held up each of the three others on a call's way, too.
 */
const noiseMs = 15;
const processesOnTheWay = 3;
/** So many calls may be late for the same reason. */
const lateShare = 0.005;
const graceMs = 50;

/** @param plainEpisode where the plain chain goes through less of it. */
export async function playBoth(episode: Episode, plainEpisode: Episode = episode): Promise<Judged> {
  const evenkeel = await playUndisturbed(episode, "evenkeel");
  const plain = await play(plainEpisode, "plain");
  const judged = {
    evenkeel: figuresOf(episode.name, "evenkeel", evenkeel, episode.workersOfB),
    plain: figuresOf(plainEpisode.name, "plain", plain, episode.workersOfB),
  };
  console.log(
    `${tableOf([judged.evenkeel, judged.plain])}\n${describe(judged.evenkeel)}\n${describe(judged.plain)}`,
  );
  expect(evenkeel.achievedRate).toBeGreaterThan(0.95 * (episode.withCPerSecond + episode.withoutCPerSecond));
  return judged;
}

/** C is in trouble: who does not need it does not notice, who does is told in time, and nothing piles up. */
export function expectUnharmed({ withC, withoutC, mostInflight, memoryGrowth }: EpisodeFigures): void {
  expect(withoutC.all.failures).toBe("");
  expectAsUsual(withoutC.before, withoutC.during);
  expect(withC.during.lateShare(deadlineMs + graceMs)).toBeLessThanOrEqual(lateShare);
  // The 30 calls that a process of B may have under way to C or waiting for it, and as many besides: 20 times its usual.
  expect(mostInflight).toBeLessThanOrEqual(60);
  expect(memoryGrowth).toBeLessThan(100);
  expect([withC.before.failures, withC.after.failures]).toEqual(["", ""]);
  expectAsUsual(withoutC.before, withoutC.after);
  expectAsUsual(withC.before, withC.after);
}

/** The 99th percentile is at most 1.5 of what it was, and in no second is the usual call out of the usual. */
function expectAsUsual(before: Figures, later: Figures): void {
  const heldUpMs = processesOnTheWay * later.heldUpMs;
  const usualMs = Math.max(1.5 * before.typicalP99Ms, before.typicalP99Ms + noiseMs);
  expect(later.typicalP99Ms).toBeLessThanOrEqual(usualMs + heldUpMs);
  expect(later.worstMedianMs).toBeLessThanOrEqual(before.worstMedianMs + 2 * noiseMs + heldUpMs);
}

function describe({ kind, withC, withoutC, answered, capacity }: EpisodeFigures): string {
  const phases = ["before", "during", "after"] as const;
  const typical = phases.map((phase) => whole(withoutC[phase].typicalP99Ms)).join(", ");
  const heldUp = phases.map((phase) => `${whole(withoutC[phase].heldUpMs)} ms`).join(", ");
  const failures = phases.flatMap((phase) => [
    ...(withoutC[phase].failed > 0 ? [`  ${phase}, without C: ${withoutC[phase].failures}`] : []),
    ...(withC[phase].failed > 0 ? [`  ${phase}, with C: ${withC[phase].failures}`] : []),
  ]);
  const head = `${kind}: ${whole(answered)} answered/s (B's capacity ${whole(capacity)}); p99 of the typical second ${typical} ms; the machine held up calls by ${heldUp}`;
  return [head, ...failures].join("\n");
}
