/** A call of the library as it is, over servers in virtual time instead of a transport. */
import { Call } from "../../cluster/call.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import type { Attempt } from "../../core/attempt.ts";
import type { Timer } from "../../core/clock.ts";
import { failure, type Outcome, success } from "../../core/outcome.ts";
import type { Random } from "../../core/random.ts";
import { type Demand, Job, type Server } from "./server.ts";
import type { Tally } from "./tally.ts";

/** What the calls of a simulation share. */
export interface Service {
  readonly servers: ReadonlyMap<string, Server>;
  readonly demand: Demand;
  readonly random: Random;
  readonly tally: Tally;
  /** Each answer says how many calls the server still has. */
  readonly reportsLoad: boolean;
}

const badStatus: Outcome = failure("status", "503");

/** What is under way for one attempt. */
interface Work {
  readonly server: Server;
  readonly job?: Job;
  readonly timer?: Timer;
}

export class SimulatedCall extends Call {
  readonly #service: Service;
  readonly #startedAt: number;
  readonly #work: Map<Attempt, Work> = new Map();

  constructor(cluster: Cluster, service: Service) {
    super(cluster, "GET", "/", true, cluster.rules);
    this.#service = service;
    this.#startedAt = cluster.clock.now();
  }

  header(): undefined {
    return undefined;
  }

  protected canRepeatBody(): boolean {
    return true;
  }

  protected canRace(): boolean {
    return true;
  }

  protected isUnsent(): boolean {
    return false;
  }

  protected send(attempt: Attempt): void {
    const { servers, demand, random, tally } = this.#service;
    const server = servers.get(attempt.node.key) as Server;
    tally.sent(server.index, attempt.startedAt);
    const { failure } = server;
    if (failure !== undefined && (failure.share >= 1 || random() < failure.share)) {
      const timer = this.cluster.clock.schedule(() => this.#refused(attempt), failure.afterMs);
      this.#work.set(attempt, { server, timer });
      return;
    }
    const job = new Job(() => this.#done(attempt, server));
    this.#work.set(attempt, { server, job });
    server.admit(job, (server.model.demand ?? demand)(random));
  }

  protected stop(attempt: Attempt): void {
    const work = this.#work.get(attempt);
    work?.timer?.cancel();
    if (work?.job !== undefined) work.server.remove(work.job);
  }

  protected fail(): void {
    this.#ended("timed out");
  }

  protected released(): void {}

  #done(attempt: Attempt, { jobs }: Server): void {
    if (this.#service.reportsLoad) attempt.node.reported({ inflight: jobs }, this.cluster.clock.now());
    this.answered(attempt, true, false);
    this.complete(success);
    this.#ended("answered");
  }

  #refused(attempt: Attempt): void {
    if (this.tryAgain(attempt, badStatus, undefined, false, 0)) return;
    this.answered(attempt, false, false);
    this.complete(badStatus);
    this.#ended("failed");
  }

  #ended(end: "answered" | "timed out" | "failed"): void {
    this.#service.tally.ended(this.#startedAt, this.cluster.clock.now() - this.#startedAt, end);
  }
}
