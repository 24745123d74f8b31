/**
 * Many clients and the instances of one service in virtual time, without a socket: how a policy spreads calls, and
 * what comes of it.
 *
 * Each client is a `Cluster` of its own, with nodes, averages, warm-up, timeouts and a picker of its own, as in a
 * program: what is simulated is the servers, the calls' arrival and the clock. The same seed gives the same result.
 *
 * @example
 * const simulation = new Simulation({
 *   seed: 1,
 *   clients: 20,
 *   servers: createServers(20, { cores: 4 }),
 *   createPolicy: (random) => leastCost({ random }),
 *   arrivals: poisson(2_800),
 *   demand: exponential(20),
 *   measureFromMs: 5_000,
 *   endMs: 30_000,
 * });
 * simulation.at(10_000, () => simulation.server(3).setSpeed(0));
 * const { latencies, failed } = simulation.run();
 */
import { Cluster } from "../../cluster/cluster.ts";
import type { HedgeOptions } from "../../cluster/limit-options.ts";
import type { RetryOptions } from "../../cluster/options.ts";
import type { Policy } from "../../core/contracts.ts";
import { createSeededRandom, type Random } from "../../core/random.ts";
import { type ListDiscovery, list } from "../../discovery/list.ts";
import { EventClock } from "./event-clock.ts";
import { type Demand, Server, type ServerModel } from "./server.ts";
import { type Service, SimulatedCall } from "./simulated-call.ts";
import { Tally } from "./tally.ts";

/**
 * When a call is made, in milliseconds; undefined when there are no more. Without a state of its own.
 *
 * @param previousMs when the call before it was made; the result is never less.
 * @param index 0 for the first call.
 */
export type Arrivals = (previousMs: number, index: number, random: Random) => number | undefined;

export interface SimulationOptions {
  readonly seed: number;
  /** Programs that call the service; each call is made by one of them, by chance. */
  readonly clients: number;
  readonly servers: readonly ServerModel[];
  /** Indexes of servers that discovery does not name at first; see `join`. */
  readonly absent?: readonly number[] | undefined;
  readonly createPolicy: (random: Random) => Policy;
  readonly arrivals: Arrivals;
  /** The work of a call, for servers that have no demand of their own. */
  readonly demand: Demand;
  /** Each answer says how many calls the server has in flight. Default false. */
  readonly reportsLoad?: boolean | undefined;
  /** How long an attempt may take. Default 1,000. */
  readonly attemptMs?: number | undefined;
  /** Default false: a policy is judged by what it picks, and retries would hide that. */
  readonly retry?: false | RetryOptions | undefined;
  /** Default: none, for the same reason. */
  readonly hedge?: HedgeOptions | undefined;
  /** Default false, for the same reason. */
  readonly ejection?: boolean | undefined;
  /** Calls that begin before it fill the servers and are not counted. */
  readonly measureFromMs: number;
  /** The last call begins before it. */
  readonly endMs: number;
}

export interface SimulationResult extends Pick<Tally, "calls" | "failed" | "attempts" | "share"> {
  /** In milliseconds, in ascending order; a call that timed out has the timeout, one that failed at once has none. */
  readonly latencies: Float64Array;
  /** The most calls that one server had at once. */
  readonly mostInflight: number;
}

export class Simulation {
  readonly clock: EventClock = new EventClock();
  readonly #options: SimulationOptions;
  readonly #attemptMs: number;
  readonly #servers: readonly Server[];
  readonly #discovery: ListDiscovery;
  readonly #clusters: readonly Cluster[];
  readonly #service: Service;
  /** One generator for each thing that chance decides: what one policy draws more does not move the others. */
  readonly #chooseClient: Random;
  readonly #arriveBy: Random;
  #arrivals = 0;
  #arrivedAt = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const { seed, absent = [], measureFromMs, endMs } = options;
    this.#attemptMs = options.attemptMs ?? 1_000;
    const random = createSeededRandom(seed);
    const derive = (): Random => createSeededRandom(random() * 2 ** 32);
    this.#chooseClient = derive();
    this.#arriveBy = derive();
    this.#servers = options.servers.map((model, index) => new Server(index, model, this.clock));
    this.#service = {
      servers: new Map(this.#servers.map((server) => [server.model.address, server])),
      demand: options.demand,
      random: derive(),
      reportsLoad: options.reportsLoad ?? false,
      tally: new Tally(measureFromMs, endMs, this.#servers.length),
    };
    this.#discovery = list(options.servers.filter((_, index) => !absent.includes(index)).map(endpointOf));
    this.#clusters = Array.from({ length: options.clients }, () => this.#createCluster(derive()));
  }

  /** @throws RangeError when there is no such server. */
  server(index: number): Server {
    const server = this.#servers[index];
    if (server === undefined) throw new RangeError(`there is no server ${index}`);
    return server;
  }

  /** Does something at a time of the simulation, in milliseconds from its start. */
  at(ms: number, action: () => void): void {
    this.clock.scheduleAt(action, ms);
  }

  /** Discovery names a server that it did not name before. */
  join(index: number): void {
    this.#discovery.add(endpointOf(this.server(index).model));
  }

  /** Runs from start to end; once for each simulation. */
  run(): SimulationResult {
    const { measureFromMs, endMs } = this.#options;
    this.at(measureFromMs, () => {
      for (const server of this.#servers) server.resetMost();
    });
    this.#awaitArrival();
    this.clock.runUntil(endMs);
    const mostInflight = Math.max(...this.#servers.map((server) => server.most));
    // What is under way ends by itself, and at the latest by its timeout.
    this.clock.runUntil(endMs + 4 * this.#attemptMs);
    for (const cluster of this.#clusters) cluster.destroy();
    const { tally } = this.#service;
    return {
      calls: tally.calls,
      failed: tally.failed,
      attempts: tally.attempts,
      share: (...range) => tally.share(...range),
      latencies: Float64Array.from(tally.latencies).sort(),
      mostInflight,
    };
  }

  #awaitArrival(): void {
    const at = this.#options.arrivals(this.#arrivedAt, this.#arrivals++, this.#arriveBy);
    if (at === undefined || at >= this.#options.endMs) return;
    this.#arrivedAt = at;
    this.clock.scheduleAt(this.#arrive, at);
  }

  readonly #arrive = (): void => {
    const client = Math.floor(this.#chooseClient() * this.#clusters.length);
    new SimulatedCall(this.#clusters[client] as Cluster, this.#service).start();
    this.#awaitArrival();
  };

  #createCluster(random: Random): Cluster {
    const { createPolicy, retry = false, hedge, ejection = false } = this.#options;
    return new Cluster({
      name: "simulated",
      discovery: this.#discovery,
      policy: createPolicy(random),
      timeouts: { attemptMs: this.#attemptMs, totalMs: 4 * this.#attemptMs },
      retry,
      hedge,
      health: ejection ? {} : { ejection: false },
      clock: this.clock,
      random,
    });
  }
}

function endpointOf({ address, weight = 1 }: ServerModel): {
  readonly address: string;
  readonly weight: number;
} {
  return { address, weight };
}
