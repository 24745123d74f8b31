/** The addresses of SRV targets, kept for their time to live, and for longer while a target cannot be resolved. */
import type { Clock } from "../../core/clock.ts";
import type { Lookup } from "./lookup.ts";
import { ttlMsOf } from "./records.ts";

/** How many targets are asked for at once: enough for a service, and few enough for any name server's rate limit. */
const atOnce = 32;

interface Target {
  readonly addresses: readonly string[];
  readonly expiresAt: number;
}

export class Targets {
  readonly #clock: Clock;
  /** Of the targets that the last records named. */
  #known: ReadonlyMap<string, Target> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Nothing for a target whose addresses were never known. */
  addressesOf(target: string): readonly string[] {
    return this.#known.get(target)?.addresses ?? [];
  }

  /**
   * Asks for the addresses of those targets whose time is over. One that fails keeps the addresses it had, since its
   * record is still there.
   *
   * @returns why targets could not be resolved.
   */
  async resolve(lookup: Lookup, targets: Iterable<string>): Promise<readonly Error[]> {
    const now = this.#clock.now();
    const known = new Map<string, Target>();
    const errors: Error[] = [];
    const wanted: string[] = [];
    for (const name of new Set(targets)) {
      const target = this.#known.get(name);
      if (target !== undefined) known.set(name, target);
      if (target === undefined || target.expiresAt <= now) wanted.push(name);
    }
    const resolveNext = async (): Promise<void> => {
      for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
        const v4 = await lookup.addresses(name, "A");
        const reply = v4.kind === "none" ? await lookup.addresses(name, "AAAA") : v4;
        if (reply.kind !== "records") {
          errors.push(reply.error);
          continue;
        }
        const addresses = reply.records.map(({ address }) => address);
        known.set(name, { addresses, expiresAt: now + (ttlMsOf(reply.records) ?? 0) });
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, wanted.length) }, resolveNext));
    this.#known = known;
    return errors.sort((a, b) => (a.message < b.message ? -1 : 1));
  }
}
