/** What one client sees of a registry, snapshot by snapshot, as the guard of a cluster would: checked, and never given up. */
import { systemClock } from "../../../src/core/clock.ts";
import type { Discovery, DiscoveryContext } from "../../../src/core/contracts.ts";
import type { CheckedEndpoint } from "../../../src/core/endpoint.ts";
import { EndpointChecker } from "../../../src/discovery/checker.ts";
import { Watcher } from "../../../src/discovery/watcher.ts";
import { until } from "../../support/until.ts";
import type { PutInstance, Subject, SubjectFacts } from "./subject.ts";

/** Registries answer within a second; a machine that builds something else beside takes its time. */
const seenLimitMs = 15_000;

export class WatchedSet implements AsyncDisposable {
  /** Each set that differed from the one before, as `describe` has it. */
  readonly snapshots: string[] = [];
  /** What the source failed with or reported, and what was refused of its endpoints. */
  readonly errors: unknown[] = [];
  /** How many snapshots came, changed or not. */
  updates = 0;
  readonly #checker: EndpointChecker = new EndpointChecker({ scheme: "http" });
  readonly #facts: SubjectFacts;
  readonly #patience: number;
  readonly #watcher: Watcher;
  #watches = 0;

  constructor(source: Discovery, service: string, { facts, patience = 1 }: Subject) {
    this.#facts = facts;
    this.#patience = patience;
    // The cluster's own pauses: a second attempt soon, then less and less often.
    const pauses = { backoffMs: 100, backoffMaxMs: 30_000, stableMs: 10_000 };
    this.#watcher = new Watcher(
      { watch: (context) => this.#count(source, context) },
      { service, clock: systemClock, random: Math.random, ...pauses },
      {
        snapshot: (endpoints) => this.#add(endpoints),
        failed: (error) => this.errors.push(error),
        ended: () => this.errors.push(new Error("the source ended by itself")),
      },
    );
    this.#watcher.start();
  }

  /** The set of now, or undefined before the first one. */
  get present(): string | undefined {
    return this.snapshots.at(-1);
  }

  /** Resolves, with the milliseconds it took, when the set is exactly this. */
  async untilExactly(expected: readonly PutInstance[], limitMs: number = seenLimitMs): Promise<number> {
    const wanted = this.describe(expected);
    return this.#until(() => this.present === wanted, `the set is ${brief(wanted)}`, limitMs);
  }

  /** Resolves when the set was said again, changed or not. */
  async untilUpdate(since: number, limitMs: number = seenLimitMs): Promise<void> {
    await this.#until(() => this.updates > since, "the source says its set", limitMs);
  }

  /** Resolves when something went wrong that had not before. */
  async untilError(since: number, limitMs: number = seenLimitMs): Promise<void> {
    await this.#until(() => this.errors.length > since, "the source reports an error", limitMs);
  }

  /** A set as text, the same for the same set. What the registry's format does not have is left out. */
  describe(instances: readonly PutInstance[]): string {
    const checked = new EndpointChecker({ scheme: "http" }).check(instances, (error) => {
      throw error;
    });
    return this.#describe(checked);
  }

  /** Resolves when the source has ended each watch, having been told to. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher.close();
    await this.#until(() => this.#watches === 0, "the source ends when its signal is aborted", 5_000);
  }

  async #until(condition: () => boolean, what: string, limitMs: number): Promise<number> {
    try {
      return await until(what, condition, this.#patience * limitMs);
    } catch (error) {
      const seen = this.present === undefined ? "no set" : brief(this.present);
      const last = this.errors.slice(-3).map(String).join("; ") || "none";
      throw new Error(`${(error as Error).message}; it is ${seen}; last errors: ${last}`, { cause: error });
    }
  }

  #add(endpoints: Parameters<EndpointChecker["check"]>[0]): void {
    this.updates++;
    const set = this.#describe(this.#checker.check(endpoints, (error) => this.errors.push(error)));
    if (set !== this.present) this.snapshots.push(set);
  }

  #describe(endpoints: readonly CheckedEndpoint[]): string {
    const { hasWeights, hasZones } = this.#facts;
    const lines = endpoints.map(({ address, weight, zone }) => {
      const parts = [
        address.text,
        ...(hasWeights ? [`x ${weight}`] : []),
        ...(hasZones ? [`in ${zone}`] : []),
      ];
      return parts.join(" ");
    });
    return lines.sort().join("\n");
  }

  async *#count(source: Discovery, context: DiscoveryContext): ReturnType<typeof iterate> {
    this.#watches++;
    try {
      yield* iterate(source, context);
    } finally {
      this.#watches--;
    }
  }
}

async function* iterate(source: Discovery, context: DiscoveryContext) {
  yield* source.watch(context);
}

function brief(set: string): string {
  const lines = set === "" ? [] : set.split("\n");
  const shown = lines.slice(0, 5).join(", ");
  return `[${shown}${lines.length > 5 ? `, and ${lines.length - 5} more` : ""}]`;
}
