/** One source made of several: the first that works, and the next one only as long as it does not. */
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { OptionReader } from "../core/option-reader.ts";
import { choose } from "./sources/choice.ts";
import {
  type CombinedOptions,
  type Given,
  type ResolvedCombined,
  readCombined,
  splitArguments,
} from "./sources/combined-options.ts";
import { SourceSet } from "./sources/source-set.ts";

export interface FallbackOptions extends CombinedOptions {
  /**
   * How long a source that has answered before may fail until the next one is used, which lasts until it answers again.
   * Default: for ever, since the last set of a registry that is down is mostly right, and another source's may not be.
   */
  readonly staleMs?: number | undefined;
}

/**
 * The first of several sources that has answered. One that has not is given `waitMs`, or until it fails, before the
 * next one is begun; it is asked again all the while, and used as soon as it answers. What is not needed is not watched.
 *
 * Errors of all watched sources are reported; the whole is as fresh or stale as the source in use.
 *
 * @param given sources or arrays of endpoints, and options at the end if there are any.
 * @throws TypeError or RangeError for what is no source, and for an option that cannot be meant.
 *
 * @example
 * const orders = new Balancer({
 *   name: "orders",
 *   discovery: fallback(consul(), file("/etc/orders.yaml"), ["http://10.0.0.1:8080"], { staleMs: 300_000 }),
 * });
 */
export function fallback(...given: readonly Given[] | readonly [...Given[], FallbackOptions]): Discovery {
  const { sources, options } = splitArguments<FallbackOptions>("fallback", given);
  const reader = new OptionReader(options, "fallback");
  const resolved = {
    ...readCombined(reader),
    staleMs: reader.number("staleMs", {
      default: Number.POSITIVE_INFINITY,
      min: 0,
      max: Number.POSITIVE_INFINITY,
    }),
  };
  reader.end();
  return { watch: (context) => watchFirst(sources, resolved, context) };
}

async function* watchFirst(
  sources: readonly Discovery[],
  options: ResolvedCombined & { readonly staleMs: number },
  context: DiscoveryContext,
): AsyncGenerator<readonly Endpoint[], void, void> {
  const { clock, random } = options;
  const { signal } = context;
  if (signal.aborted) return;
  // Not `using`, which Node.js 22 does not know: it runs these sources in our tests.
  const set = new SourceSet(sources, { context, clock, random });
  try {
    /** Of the set that was last yielded: whose it was, which of its sets, and how many errors had been reported. */
    let used: number | undefined;
    let version = 0;
    let reports = 0;
    while (!signal.aborted) {
      const { states } = set;
      const { use, watched, lookAgainAt } = choose(states, clock.now(), options);
      for (const index of sources.keys()) {
        if (index < watched) set.start(index);
        else set.stop(index);
      }
      const state = use === undefined ? undefined : states[use];
      const isFailing = state?.phase === "failing";
      const isNews = use !== used || state?.version !== version;
      // An error of another source made the whole look stale.
      const isSpoiled = reports !== set.reports && !isFailing;
      if (state?.endpoints !== undefined && (isNews || isSpoiled)) {
        used = use;
        version = state.version;
        reports = set.reports;
        yield state.endpoints;
        // A set that failed before it was used is not fresh.
        if (isFailing && states[use ?? 0]?.phase === "failing") set.remind();
      } else if (states.slice(0, watched).every(({ phase }) => phase === "final")) {
        return;
      } else {
        await set.change(lookAgainAt);
      }
    }
  } finally {
    set[Symbol.dispose]();
  }
}
