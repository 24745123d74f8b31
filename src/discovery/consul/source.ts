/** The source and registry that `consul()` makes, handed its time and its chance. */
import type { Clock } from "../../core/clock.ts";
import type { Discovery, DiscoveryContext, Instance, Registry } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import type { Random } from "../../core/random.ts";
import { sleep } from "../../core/sleep.ts";
import { ConsulAgent } from "./agent.ts";
import { BlockingQuery } from "./blocking-query.ts";
import { isChanged, isShrunken, queryHealth } from "./health-query.ts";
import type { ResolvedConsulOptions } from "./options.ts";
import { ConsulRegistration } from "./registration.ts";
import { TokenBucket } from "./token-bucket.ts";

/**
 * Queries each second for one service, however often it changes: the guard merges what comes closer together than
 * 100 ms, so more would be of no use. Two may follow each other at once, so that a lone change costs no wait.
 */
const queriesPerSecond = 10;
const queryBurst = 2;

/** Time and chance of a source. */
export interface Chance {
  readonly clock: Clock;
  readonly random: Random;
}

export class ConsulSource implements Discovery, Registry {
  readonly #options: ResolvedConsulOptions;
  readonly #agent: ConsulAgent;
  readonly #chance: Chance;

  constructor(options: ResolvedConsulOptions, chance: Chance) {
    this.#options = options;
    this.#agent = new ConsulAgent(options, chance.clock);
    this.#chance = chance;
  }

  async *watch(context: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const { signal } = context;
    const { clock, random } = this.#chance;
    const service = this.#options.service ?? context.service;
    const query = new BlockingQuery(random);
    const bucket = new TokenBucket(queriesPerSecond, queryBurst);
    /** The set in use; undefined before the first one, and after an error, when the same set is news. */
    let known: readonly Endpoint[] | undefined;
    let isFresh = false;
    using _use = this.#agent.use();
    while (!signal.aborted) {
      await sleep(clock, bucket.take(clock.now()), signal);
      if (signal.aborted) return;
      try {
        const answer = await queryHealth(this.#agent, service, this.#options, query.index, signal);
        if (!answer.isLeaderKnown && known !== undefined && isShrunken(known, answer.endpoints)) {
          if (query.index === 0) {
            throw new Error("instances are missing, but the server knows no leader; they stay");
          }
          query.restart();
          continue;
        }
        query.answered(answer.index, clock.now());
        if (isFresh && !isChanged(known, answer.endpoints)) continue;
        known = answer.endpoints;
        isFresh = true;
      } catch (error) {
        if (signal.aborted) return;
        isFresh = false;
        const why = error instanceof Error ? error.message : String(error);
        context.report(new Error(`${this.#agent.name}: ${service}: ${why}`, { cause: error }));
        await sleep(clock, query.failed(clock.now()), signal);
        continue;
      }
      yield known;
    }
  }

  async register(instance: Instance, context: DiscoveryContext): Promise<AsyncDisposable> {
    const registration = new ConsulRegistration(this.#agent, instance, this.#options, context, this.#chance);
    await registration.start();
    return registration;
  }
}
