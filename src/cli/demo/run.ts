/** One run of the demo: starts both systems, leads them through the phases side by side, and stops them. */
import { setTimeout as sleep } from "node:timers/promises";
import { BalancedPoolClient } from "./balanced-pool-client.ts";
import { type Directory, fileDirectory } from "./directory.ts";
import { etcdDirectory } from "./etcd-directory.ts";
import { findEtcd } from "./etcd-server.ts";
import { EvenkeelClient } from "./evenkeel-client.ts";
import { Lane } from "./lane.ts";
import { Load } from "./load.ts";
import type { DemoOptions } from "./options.ts";
import { newcomers, nodesAtStart, type Phase, phases } from "./phases.ts";
import { Service } from "./service.ts";

/** A registry with a server of its own is down from the one phase to the other: nodes get into trouble without it. */
const registryDies = "failing";
const registryIsBack = "recovered";

export class Run {
  readonly options: DemoOptions;
  /** Where Evenkeel finds its nodes. */
  readonly directory: Directory;
  readonly evenkeel: Lane;
  readonly balancedPool: Lane | undefined;
  readonly startedAt: number = performance.now();
  phase: Phase = phases[0] as Phase;

  private constructor(
    options: DemoOptions,
    directory: Directory,
    evenkeel: Lane,
    balancedPool: Lane | undefined,
  ) {
    this.options = options;
    this.directory = directory;
    this.evenkeel = evenkeel;
    this.balancedPool = balancedPool;
  }

  static async start(options: DemoOptions): Promise<Run> {
    const directory = options.registry === "etcd" ? await etcdDirectory(findEtcd()) : fileDirectory();
    const [service, peerService] = await Promise.all([
      Service.start(nodesAtStart, newcomers),
      options.withPeer ? Service.start(nodesAtStart, newcomers) : undefined,
    ]);
    const evenkeel = new Lane(await EvenkeelClient.open(directory, service.addresses), service);
    const peer =
      peerService === undefined
        ? undefined
        : new Lane(new BalancedPoolClient(peerService.addresses), peerService);
    return new Run(options, directory, evenkeel, peer);
  }

  get lanes(): readonly Lane[] {
    return this.balancedPool === undefined ? [this.evenkeel] : [this.evenkeel, this.balancedPool];
  }

  /** What happens now. */
  get story(): string {
    return `${this.phase.story} ${this.directory.story}`.trimEnd();
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
        if (phase.id === registryDies) await this.directory.die();
        if (phase.id === registryIsBack) await this.directory.comeBack();
        onPhase();
        await Promise.all(lanes.map(({ service }) => phase.begin(service)));
        // A registry that was down may take its time to name those that join: what has begun is given the whole phase.
        await sleep(this.options.phaseSeconds * 1_000);
        await Promise.all(lanes.map(({ service }) => phase.end(service)));
      }
    } finally {
      load?.stop();
    }
    await Promise.all(lanes.map((lane) => lane.finish()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.lanes.map(({ client }) => client.close()));
    await this.directory.close();
    await Promise.all(this.lanes.map(({ service }) => service.stop()));
  }
}
