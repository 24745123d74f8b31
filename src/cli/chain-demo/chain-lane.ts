/** One of the chains that run side by side: its processes, who calls it, and the books of its calls. */
import { Chain } from "../chain/chain.ts";
import { ChainClient } from "../chain/chain-client.ts";
import { withC, withoutC } from "../chain/layer-server.ts";
import type { ChainKind, LayerStats } from "../chain/messages.ts";
import { deadlineMs } from "../chain/plan.ts";
import { CallBook } from "../demo/call-book.ts";
import { isGone, killAtExit } from "../demo/exit-guard.ts";
import { guardFrozen } from "../demo/frozen-guard.ts";
import type { ChainPhase } from "./phases.ts";

/** How a layer stands: all its processes together, and what they did in the last second. */
export interface LayerState {
  readonly name: string;
  readonly requests: number;
  readonly failed: number;
  readonly inflight: number;
  readonly shed: number;
  readonly rssBytes: number;
  /** Its calls to the layer below; undefined for the last one. */
  readonly below:
    | { readonly inflight: number; readonly refused: number; readonly shedding: number }
    | undefined;
}

/** Over how many samples a rate is taken: two a second. */
const samplesPerRate = 2;

export class ChainLane {
  readonly name: string;
  readonly chain: Chain;
  readonly withC: CallBook;
  readonly withoutC: CallBook;
  /** The most requests that a process of B had at once, in each phase. */
  readonly mostInflight: number[] = [];
  readonly #client: ChainClient;
  readonly #samples: (readonly LayerStats[])[][] = [];
  #sent = 0;
  #isFrozen = false;
  readonly #guards: (() => void)[] = [];

  private constructor(kind: ChainKind, chain: Chain) {
    this.name = kind === "evenkeel" ? "Evenkeel" : "plain undici";
    this.chain = chain;
    this.#client = new ChainClient(chain.address);
    const book = (path: string): CallBook =>
      new CallBook({ call: () => this.#client.call(path), longestMs: 2 * deadlineMs });
    this.withC = book(withC);
    this.withoutC = book(withoutC);
  }

  static async start(kind: ChainKind, pids: number[]): Promise<ChainLane> {
    const onStart = (pid: number): void => {
      killAtExit(pid);
      pids.push(pid);
    };
    return new ChainLane(kind, await Chain.start({ kind, onStart }));
  }

  get books(): readonly CallBook[] {
    return [this.withC, this.withoutC];
  }

  /** Calls that nobody counts, until the code that serves them is compiled. */
  async warmUp(): Promise<void> {
    for (let turn = 0; turn < 50; turn++) {
      await Promise.all([withC, withoutC, withC, withoutC].map((path) => this.#client.call(path)));
    }
  }

  /**
   * Starts a call that was due at `dueAt`. Half of them need C: two, then two not, and so on, as every other one would go
   * to the same instance of B wherever instances are taken in turn.
   */
  send(dueAt: number): void {
    (this.#sent++ % 4 < 2 ? this.withC : this.withoutC).send(dueAt);
  }

  begin(phase: ChainPhase): void {
    const willFreeze = phase.id === "frozen";
    // A stopped process cannot notice that this one is gone.
    if (willFreeze) this.#guards.push(...this.chain.c.map(({ pid }) => guardFrozen(pid)));
    phase.begin(this.chain);
    this.#isFrozen = willFreeze;
    if (!willFreeze) for (const release of this.#guards.splice(0)) release();
  }

  turnPage(): void {
    for (const book of this.books) book.turnPage();
    this.mostInflight.push(0);
  }

  /** Asks the layers how they stand: those that can answer. Call it twice a second. */
  async sample(): Promise<void> {
    const layers = await Promise.all([
      this.chain.stats("a"),
      this.chain.stats("b"),
      this.#isFrozen ? (this.#samples.at(-1)?.[2] ?? []) : this.chain.stats("c"),
    ]);
    this.#samples.push(layers);
    if (this.#samples.length > samplesPerRate + 1) this.#samples.shift();
    const inflight = layers[1].map((stats) => stats.inflight);
    const phase = this.mostInflight.length - 1;
    this.mostInflight[phase] = Math.max(this.mostInflight[phase] ?? 0, ...inflight);
  }

  get layers(): readonly LayerState[] {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined) return [];
    const seconds = Math.max(1, this.#samples.length - 1) / samplesPerRate;
    return ["A", "B", this.#isFrozen ? "C (frozen)" : "C"].map((name, index) =>
      stateOf(name, first[index] ?? [], last[index] ?? [], seconds),
    );
  }

  async finish(): Promise<void> {
    await Promise.all(this.books.map((book) => book.finish()));
  }

  async stop(): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.chain[Symbol.asyncDispose]();
    for (const release of this.#guards.splice(0)) release();
    for (const { pid } of this.chain.layers) isGone(pid);
  }
}

function stateOf(
  name: string,
  before: readonly LayerStats[],
  now: readonly LayerStats[],
  seconds: number,
): LayerState {
  const sum = (of: (stats: LayerStats) => number): number =>
    now.reduce((total, stats) => total + of(stats), 0);
  const rate = (of: (stats: LayerStats) => number): number =>
    (sum(of) - before.reduce((total, stats) => total + of(stats), 0)) / seconds;
  const hasBelow = now[0]?.below !== undefined;
  return {
    name,
    requests: rate((stats) => stats.requests),
    failed: rate((stats) => stats.failed),
    inflight: sum((stats) => stats.inflight),
    shed: rate((stats) => stats.shed),
    rssBytes: sum((stats) => stats.rssBytes),
    below: hasBelow
      ? {
          inflight: sum(({ below }) => below?.inflight ?? 0),
          refused: rate(({ below }) => below?.refused ?? 0),
          shedding: Math.max(...now.map(({ below }) => below?.shedding ?? 0)),
        }
      : undefined,
  };
}
