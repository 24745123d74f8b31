/** One fault of the chain from start to end: its own processes, calls at a steady rate, and what became of them. */
import { setTimeout as sleep } from "node:timers/promises";
import { Chain, type ChainOptions } from "../../../src/cli/chain/chain.ts";
import { ChainClient } from "../../../src/cli/chain/chain-client.ts";
import { withC, withoutC } from "../../../src/cli/chain/layer-server.ts";
import type { ChainKind, LayerStats } from "../../../src/cli/chain/messages.ts";
import { createSeededRandom } from "../../../src/core/random.ts";
import { drive } from "../../support/drive.ts";
import { percentile } from "../../support/percentile.ts";

export interface Episode {
  readonly name: string;
  readonly chain: Omit<ChainOptions, "kind">;
  /** Of calls at A that need C, and of those that do not. */
  readonly withCPerSecond: number;
  readonly withoutCPerSecond: number;
  readonly beforeSeconds: number;
  readonly faultSeconds: number;
  readonly afterSeconds: number;
  /** Of all its processes, while the fault lasts. */
  readonly workersOfB: number;
  begin(chain: Chain): void | Promise<void>;
  end(chain: Chain): void | Promise<void>;
}

export interface ChainCall {
  readonly needsC: boolean;
  /** From the beginning of what is measured. */
  readonly dueMs: number;
  readonly tookMs: number;
  /** From when it was due until this process came to send it: what the machine held up, and the chain did not. */
  readonly heldUpMs: number;
  /** What was the matter with it; undefined when it was answered well. */
  readonly failure: string | undefined;
}

export interface Sample {
  readonly atMs: number;
  readonly a: LayerStats;
  readonly b: readonly LayerStats[];
}

/** The calls of one part of an episode. */
export class Part {
  readonly calls: readonly ChainCall[];
  readonly seconds: number;

  constructor(calls: readonly ChainCall[], seconds: number) {
    this.calls = calls;
    this.seconds = seconds;
  }

  get withC(): Part {
    return this.#only(true);
  }

  get withoutC(): Part {
    return this.#only(false);
  }

  get failed(): number {
    return this.calls.filter(({ failure }) => failure !== undefined).length;
  }

  /** Good answers a second. */
  get goodput(): number {
    return (this.calls.length - this.failed) / this.seconds;
  }

  percentile(share: number): number {
    return percentile(
      this.calls.map(({ tookMs }) => tookMs),
      share,
    );
  }

  /** The 99th percentile of each second; of those the middle one, which a second in which the machine stood still leaves. */
  get typicalP99Ms(): number {
    return percentile(this.#eachSecond(0.99), 0.5);
  }

  /** What half of the calls took in the worst second: what is wrong for a second only shows here. */
  get worstMedianMs(): number {
    return percentile(this.#eachSecond(0.5), 1);
  }

  /** For as long as this, or less, this process kept 99% of the calls waiting before it sent them. */
  get heldUpMs(): number {
    return percentile(
      this.calls.map((call) => call.heldUpMs),
      0.99,
    );
  }

  /** What the failed calls met, the most frequent first. */
  describeFailures(): string {
    const counts = new Map<string, number>();
    for (const { failure } of this.calls) {
      if (failure !== undefined) counts.set(failure, (counts.get(failure) ?? 0) + 1);
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4);
    return sorted.map(([text, count]) => `${count} x ${text}`).join("; ");
  }

  #eachSecond(share: number): readonly number[] {
    const seconds = new Map<number, number[]>();
    for (const { dueMs, tookMs } of this.calls) {
      const second = Math.floor(dueMs / 1_000);
      const times = seconds.get(second) ?? [];
      seconds.set(second, times);
      times.push(tookMs);
    }
    return Array.from(seconds.values(), (times) => percentile(times, share));
  }

  #only(needsC: boolean): Part {
    return new Part(
      this.calls.filter((call) => call.needsC === needsC),
      this.seconds,
    );
  }
}

export interface EpisodeResult {
  /** From start to end. The parts below have gaps in between. */
  readonly all: Part;
  /** When the fault began and when it ended. */
  readonly faultFromMs: number;
  readonly faultUntilMs: number;
  readonly before: Part;
  readonly during: Part;
  /** From so long after the fault on as everything may take to be as before. */
  readonly after: Part;
  /** Every quarter of a second. */
  readonly samples: readonly Sample[];
  /** What all of C had got when the fault began, and when it ended. */
  readonly cRequests: readonly [atBegin: number, atEnd: number];
  readonly achievedRate: number;
}

/** Within this time of the end of a fault all has to be as before. */
export const recoveryMs = 2_000;

/**
 * Calls that bring code and connections into being, counted nowhere. They go on until a second was quiet: on a machine
 * that is busy with something else nothing that follows would tell of the chain.
 */
const warmUpSeconds = 1;
const quietMs = 60;
const mostWarmUps = 30;
const sampleMs = 250;
const disturbedMs = 30;
const mostRuns = 3;
/** What is under way when the fault begins is hit by it, and belongs neither to what was before nor to what is then. */
const marginMs = 250;

export async function play(episode: Episode, kind: ChainKind): Promise<EpisodeResult> {
  await using chain = await Chain.start({ ...episode.chain, kind });
  await using client = new ChainClient(chain.address);
  const ratePerSecond = episode.withCPerSecond + episode.withoutCPerSecond;
  const needsC = drawWho(episode.withCPerSecond / ratePerSecond);
  const call = (index: number): Promise<void> => client.call(needsC(index) ? withC : withoutC);
  await settle(ratePerSecond, call);

  const { beforeSeconds, faultSeconds, afterSeconds } = episode;
  const seconds = beforeSeconds + faultSeconds + afterSeconds;
  const startedAt = performance.now();
  const stop = new AbortController();
  const heldUpMs: number[] = [];
  const timedCall = (index: number): Promise<void> => {
    heldUpMs[index] = performance.now() - startedAt - (index * 1_000) / ratePerSecond;
    return call(index);
  };
  const [driven, fault, samples] = await Promise.all([
    drive({ ratePerSecond, seconds }, timedCall).finally(() => stop.abort()),
    inflict(episode, chain, startedAt),
    watch(chain, startedAt, stop.signal),
  ]);
  const calls = driven.calls.map(({ index, dueMs, tookMs, error }) => ({
    needsC: needsC(index),
    dueMs,
    tookMs,
    heldUpMs: heldUpMs[index] ?? 0,
    failure: error === undefined ? undefined : textOf(error),
  }));
  const part = (fromMs: number, untilMs: number): Part => {
    const within = calls.filter(({ dueMs }) => dueMs >= fromMs && dueMs < untilMs);
    return new Part(within, (untilMs - fromMs) / 1_000);
  };
  const { fromMs, untilMs, cRequests } = fault;
  return {
    all: part(0, seconds * 1_000),
    faultFromMs: fromMs,
    faultUntilMs: untilMs,
    before: part(0, fromMs - marginMs),
    during: part(fromMs, untilMs),
    after: part(untilMs + recoveryMs, seconds * 1_000),
    samples,
    cRequests,
    achievedRate: driven.achievedRate,
  };
}

/** Without what differs from call to call. */
function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\d+(\.\d+)?/g, (digits) => (digits.length === 3 ? digits : "#")).slice(0, 400);
}

interface Fault {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly cRequests: EpisodeResult["cRequests"];
}

/** A run in which the machine itself held up the calls tells nothing of the chain: it is played again. */
export async function playUndisturbed(episode: Episode, kind: ChainKind): Promise<EpisodeResult> {
  for (let run = 1; ; run++) {
    const result = await play(episode, kind);
    const { heldUpMs } = result.all;
    if (heldUpMs <= disturbedMs || run === mostRuns) return result;
    console.log(
      `run ${run}: the machine held up calls by ${heldUpMs.toFixed(0)} ms (99%), so it is played again`,
    );
  }
}

/**
 * Which calls need C, by seeded chance. Every other one would go well with whoever takes instances in turn: all that need
 * C at one of them, and all others at the other.
 */
function drawWho(share: number): (index: number) => boolean {
  const random = createSeededRandom(1);
  const drawn: boolean[] = [];
  return (index) => {
    while (drawn.length <= index) drawn.push(random() < share);
    return drawn[index] === true;
  };
}

async function settle(ratePerSecond: number, call: (index: number) => Promise<void>): Promise<void> {
  for (let warmUp = 1; warmUp <= mostWarmUps; warmUp++) {
    const second = await drive({ ratePerSecond, seconds: warmUpSeconds }, call);
    if (warmUp > 1 && second.failed.length === 0 && second.percentile(0.99) < quietMs) return;
  }
  throw new Error(`no quiet second in ${mostWarmUps}: the machine is too busy for ${ratePerSecond} calls/s`);
}

async function inflict(episode: Episode, chain: Chain, startedAt: number): Promise<Fault> {
  const until = (ms: number): Promise<void> => sleep(Math.max(0, startedAt + ms - performance.now()));
  await until(episode.beforeSeconds * 1_000);
  const atBegin = await requestsOf(chain);
  await episode.begin(chain);
  const fromMs = performance.now() - startedAt;
  try {
    await until((episode.beforeSeconds + episode.faultSeconds) * 1_000);
  } finally {
    await episode.end(chain);
  }
  const untilMs = performance.now() - startedAt;
  return { fromMs, untilMs, cRequests: [atBegin, await requestsOf(chain)] };
}

async function requestsOf(chain: Chain): Promise<number> {
  return (await chain.stats("c")).reduce((sum, { requests }) => sum + requests, 0);
}

async function watch(chain: Chain, startedAt: number, signal: AbortSignal): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  while (!signal.aborted) {
    const atMs = performance.now() - startedAt;
    const [[a], b] = await Promise.all([chain.stats("a"), chain.stats("b")]);
    if (a !== undefined) samples.push({ atMs, a, b });
    await sleep(sampleMs);
  }
  return samples;
}
