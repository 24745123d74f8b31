/** One run of the chain demo: starts both chains, leads them through the phases side by side, and stops them. */
import { setTimeout as sleep } from "node:timers/promises";
import { Load } from "../demo/load.ts";
import type { DemoOptions } from "../demo/options.ts";
import { ChainLane } from "./chain-lane.ts";
import { type ChainPhase, chainPhases } from "./phases.ts";

const sampleMs = 500;

export class ChainRun {
  readonly options: DemoOptions;
  readonly lanes: readonly ChainLane[];
  /** Every process that was started. */
  readonly pids: readonly number[];
  readonly startedAt: number = performance.now();
  phase: ChainPhase = chainPhases[0] as ChainPhase;

  private constructor(options: DemoOptions, lanes: readonly ChainLane[], pids: readonly number[]) {
    this.options = options;
    this.lanes = lanes;
    this.pids = pids;
  }

  static async start(options: DemoOptions): Promise<ChainRun> {
    const pids: number[] = [];
    const kinds = options.withPeer ? (["evenkeel", "plain"] as const) : (["evenkeel"] as const);
    const lanes = await Promise.all(kinds.map((kind) => ChainLane.start(kind, pids)));
    await Promise.all(lanes.map((lane) => lane.warmUp()));
    return new ChainRun(options, lanes, pids);
  }

  /** How long it will take from `startedAt` on. */
  get expectedMs(): number {
    return chainPhases.length * this.options.phaseSeconds * 1_000;
  }

  /** @param onPhase told when a phase begins. */
  async play(onPhase: () => void): Promise<void> {
    const { lanes, options } = this;
    let load: Load | undefined;
    const stopSampling = this.#keepSampling();
    try {
      for (const phase of chainPhases) {
        this.phase = phase;
        for (const lane of lanes) lane.turnPage();
        load ??= new Load(
          options.rate,
          lanes.map((lane) => (dueAt) => lane.send(dueAt)),
        );
        onPhase();
        for (const lane of lanes) lane.begin(phase);
        await sleep(options.phaseSeconds * 1_000);
      }
    } finally {
      load?.stop();
      await stopSampling();
    }
    await Promise.all(lanes.map((lane) => lane.finish()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.stop()));
  }

  /** @returns a function that stops it, and waits for the last sample. */
  #keepSampling(): () => Promise<void> {
    let isOver = false;
    const sampling = (async () => {
      while (!isOver) {
        await Promise.all(this.lanes.map((lane) => lane.sample()));
        await sleep(sampleMs);
      }
    })();
    return () => {
      isOver = true;
      return sampling;
    };
  }
}
