/** What `merge()` and `fallback()` are given: sources, arrays of endpoints, and options at the end. */
import { type Clock, systemClock } from "../../core/clock.ts";
import type { Discovery } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import { longestTimerMs, type OptionReader, show } from "../../core/option-reader.ts";
import type { Random } from "../../core/random.ts";
import { list } from "../list.ts";

/** A source, or endpoints that stay as they are. */
export type Given = Discovery | readonly (Endpoint | string)[];

export interface CombinedOptions {
  /**
   * How long, from the start, a source that has neither answered nor failed is waited for. Default 500: half of what
   * a call waits for discovery's first answer (`timeouts.connectMs`), so that a dead registry costs no call.
   */
  readonly waitMs?: number | undefined;
  /** Time and chance, for tests. */
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** Every field is there. */
export interface ResolvedCombined {
  readonly waitMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** @throws TypeError that names the argument which is neither a source nor, at the end, options. */
export function splitArguments<Options extends CombinedOptions>(
  kind: string,
  given: readonly (Given | Options)[],
): { readonly sources: readonly Discovery[]; readonly options: Options | undefined } {
  const last = given.at(-1);
  const hasOptions = last !== undefined && !isGiven(last) && typeof last === "object" && last !== null;
  const sources = (hasOptions ? given.slice(0, -1) : given).map((source, index) => {
    if (!isGiven(source)) {
      throw new TypeError(
        `argument ${index + 1} of ${kind}() must be a source or an array of endpoints, got ${show(source)}`,
      );
    }
    return "watch" in source ? source : list(source);
  });
  if (sources.length === 0) throw new TypeError(`${kind}() needs at least one source`);
  return { sources, options: hasOptions ? last : undefined };
}

/** Reads what both have in common. */
export function readCombined(options: OptionReader): ResolvedCombined {
  return {
    waitMs: options.number("waitMs", { default: 500, min: 0, max: longestTimerMs }),
    clock: options.object<Clock>("clock", ["now", "schedule"]) ?? systemClock,
    random: options.function<Random>("random") ?? Math.random,
  };
}

function isGiven(value: unknown): value is Given {
  if (Array.isArray(value)) return true;
  return typeof value === "object" && value !== null && "watch" in value && typeof value.watch === "function";
}
