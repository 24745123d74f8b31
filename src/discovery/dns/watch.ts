/** One watch of a name: asks, waits, asks again, and yields the set whenever it has changed or is certain again. */
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../core/clock.ts";
import type { DiscoveryContext } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import type { Random } from "../../core/random.ts";
import { sleep } from "../../core/sleep.ts";
import type { Lookup } from "./lookup.ts";
import { checkName, type ResolvedDnsOptions } from "./options.ts";
import { fromAddresses, fromServices, isRefusal, ttlMsOf } from "./records.ts";
import { Refresh } from "./refresh.ts";
import { Targets } from "./targets.ts";

/** What one round of questions came to. */
type Round =
  | {
      readonly kind: "found";
      readonly endpoints: readonly Endpoint[];
      readonly ttlMs: number | undefined;
      /** Of targets that could not be resolved. */
      readonly errors: readonly Error[];
    }
  | { readonly kind: "none" | "failed"; readonly error: Error };

export interface DnsSurroundings {
  createLookup(): Lookup;
  readonly clock: Clock;
  readonly random: Random;
}

export class DnsWatch {
  readonly #options: ResolvedDnsOptions;
  readonly #surroundings: DnsSurroundings;
  readonly #targets: Targets;
  #lookup: Lookup | undefined;

  constructor(options: ResolvedDnsOptions, surroundings: DnsSurroundings) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#targets = new Targets(surroundings.clock);
  }

  async *run({
    service,
    signal,
    report,
    wakers,
  }: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const { name = service, clearAfter, minRefreshMs, maxRefreshMs } = this.#options;
    const { clock, random } = this.#surroundings;
    checkName(name, "the service's name");
    const refresh = new Refresh({ minRefreshMs, maxRefreshMs, random });
    const close = (): void => this.#lookup?.close();
    signal.addEventListener("abort", close);
    let last: readonly Endpoint[] | undefined;
    /** What was reported since the last set that held no doubt: repeated only with a set that is news. */
    let doubt = "";
    /** Answers in a row that there is nothing. */
    let denials = 0;
    try {
      while (!signal.aborted) {
        const round = await this.#ask(name);
        if (signal.aborted) return;
        if (round.kind === "found") {
          denials = 0;
          const doubtBefore = doubt;
          doubt = round.errors.map(({ message }) => message).join("\n");
          const isNews = !isDeepStrictEqual(round.endpoints, last) || (doubt === "" && doubtBefore !== "");
          last = round.endpoints;
          if (isNews) yield last;
          if (isNews || doubt !== doubtBefore) for (const error of round.errors) report(error);
          await this.#rest(refresh.afterRecords(round.ttlMs), signal, wakers);
          continue;
        }
        denials = round.kind === "none" ? denials + 1 : 0;
        doubt = round.error.message;
        if (denials >= clearAfter) {
          last = [];
          yield last;
        } else {
          report(round.error);
        }
        this.#renew();
        await sleep(clock, refresh.afterFailure(), signal);
      }
    } finally {
      signal.removeEventListener("abort", close);
      close();
    }
  }

  /** Until the time to live ends, or somebody has reason to believe that the records have changed. */
  async #rest(ms: number, signal: AbortSignal, wakers: Set<() => void> | undefined): Promise<void> {
    const { clock } = this.#surroundings;
    const leastMs = Math.min(ms, this.#options.minRefreshMs);
    const waking = new AbortController();
    const wake = (): void => waking.abort();
    wakers?.add(wake);
    await sleep(clock, leastMs, signal);
    await sleep(clock, ms - leastMs, AbortSignal.any([signal, waking.signal]));
    wakers?.delete(wake);
  }

  async #ask(name: string): Promise<Round> {
    this.#lookup ??= this.#surroundings.createLookup();
    const { type, port } = this.#options;
    if (type === "SRV") return this.#askForServices(name, this.#lookup);
    const reply = await this.#lookup.addresses(name, type);
    if (reply.kind !== "records") return reply;
    const { records } = reply;
    return { kind: "found", endpoints: fromAddresses(records, port), ttlMs: ttlMsOf(records), errors: [] };
  }

  async #askForServices(name: string, lookup: Lookup): Promise<Round> {
    const reply = await lookup.services(name);
    if (reply.kind !== "records") return reply;
    const { records } = reply;
    if (isRefusal(records)) {
      return { kind: "none", error: new Error(`DNS SRV ${name}: says that there is no such service`) };
    }
    if (!this.#options.resolveTargets) {
      const endpoints = fromServices(records, (target) => [target]);
      return { kind: "found", endpoints, ttlMs: undefined, errors: [] };
    }
    const errors = await this.#targets.resolve(
      lookup,
      records.map((record) => record.name),
    );
    const endpoints = fromServices(records, (target) => this.#targets.addressesOf(target));
    const [error] = errors;
    // With no address at all there is no set, rather than an empty one.
    if (endpoints.length === 0 && error !== undefined) return { kind: "failed", error };
    return { kind: "found", endpoints, ttlMs: undefined, errors };
  }

  /** The next question starts afresh: with the system's servers as they are then. */
  #renew(): void {
    this.#lookup?.close();
    this.#lookup = undefined;
  }
}
