/** One run of the demo: starts both systems, leads them through the phases side by side, and stops them. */
import { setTimeout as sleep } from "node:timers/promises";
import { BalancedPoolClient } from "./balanced-pool-client.ts";
import { EvenkeelClient } from "./evenkeel-client.ts";
import { Lane } from "./lane.ts";
import { Load } from "./load.ts";
import type { DemoOptions } from "./options.ts";
import { newcomers, nodesAtStart, type Phase, phases } from "./phases.ts";
import { Service } from "./service.ts";

export class Run {
  readonly options: DemoOptions;
  readonly evenkeel: Lane;
  readonly balancedPool: Lane | undefined;
  readonly startedAt: number = performance.now();
  phase: Phase = phases[0] as Phase;

  private constructor(options: DemoOptions, evenkeel: Lane, balancedPool: Lane | undefined) {
    this.options = options;
    this.evenkeel = evenkeel;
    this.balancedPool = balancedPool;
  }

  static async start(options: DemoOptions): Promise<Run> {
    const [service, peerService] = await Promise.all([
      Service.start(nodesAtStart, newcomers),
      options.withPeer ? Service.start(nodesAtStart, newcomers) : undefined,
    ]);
    const evenkeel = new Lane(await EvenkeelClient.open(service.addresses), service);
    const peer =
      peerService === undefined
        ? undefined
        : new Lane(new BalancedPoolClient(peerService.addresses), peerService);
    return new Run(options, evenkeel, peer);
  }

  get lanes(): readonly Lane[] {
    return this.balancedPool === undefined ? [this.evenkeel] : [this.evenkeel, this.balancedPool];
  }

  /** How long it will take from `startedAt` on. */
  get expectedMs(): number {
    return phases.length * this.options.phaseSeconds * 1_000;
  }

  /** @param onPhase told when a phase begins. */
  async play(onPhase: () => void): Promise<void> {
    const { lanes } = this;
    let load: Load | undefined;
    try {
      for (const phase of phases) {
        this.phase = phase;
        for (const lane of lanes) lane.turnPage();
        load ??= new Load(
          this.options.rate,
          lanes.map((lane) => (dueAt) => lane.send(dueAt)),
        );
        onPhase();
        const phaseEnd = sleep(this.options.phaseSeconds * 1_000);
        await Promise.all(lanes.map(({ service }) => phase.begin(service)));
        await phaseEnd;
        await Promise.all(lanes.map(({ service }) => phase.end(service)));
      }
    } finally {
      load?.stop();
    }
    await Promise.all(lanes.map((lane) => lane.finish()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.lanes.map(({ client }) => client.close()));
    await Promise.all(this.lanes.map(({ service }) => service.stop()));
  }
}
