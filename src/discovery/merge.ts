/** One source made of several: all their endpoints together. */
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { OptionReader } from "../core/option-reader.ts";
import {
  type CombinedOptions,
  type Given,
  type ResolvedCombined,
  readCombined,
  splitArguments,
} from "./sources/combined-options.ts";
import { SourceSet } from "./sources/source-set.ts";
import { union } from "./sources/union.ts";

export type MergeOptions = CombinedOptions;

/**
 * When it is said again that a source fails after others have reported a change: that change makes the whole look
 * fresh, and to say it with each of a thousand changes would help nobody.
 */
const reminderMs = 1_000;

/**
 * The union of several sources: of two endpoints with one host and port, the one of the source named first counts.
 *
 * - At the start it waits up to `waitMs` for all of them to answer or fail, and then goes on with those that have.
 * - A source that fails is asked again by itself, and keeps its last set meanwhile. Its errors are reported, and the
 *   whole is stale until it has recovered.
 * - Guards judge the union: a source that becomes empty takes out its own part and no more.
 *
 * @param given sources or arrays of endpoints, and options at the end if there are any.
 * @throws TypeError or RangeError for what is no source, and for an option that cannot be meant.
 *
 * @example
 * const both = merge(dns({ type: "A", port: 8080 }), dns({ type: "AAAA", port: 8080 }));
 * const orders = new Balancer({ name: "orders.internal", discovery: both });
 */
export function merge(...given: readonly Given[] | readonly [...Given[], MergeOptions]): Discovery {
  const { sources, options } = splitArguments<MergeOptions>("merge", given);
  const reader = new OptionReader(options, "merge");
  const resolved = readCombined(reader);
  reader.end();
  return { watch: (context) => watchAll(sources, resolved, context) };
}

async function* watchAll(
  sources: readonly Discovery[],
  { waitMs, clock, random }: ResolvedCombined,
  context: DiscoveryContext,
): AsyncGenerator<readonly Endpoint[], void, void> {
  const { signal } = context;
  if (signal.aborted) return;
  // Not `using`, which Node.js 22 does not know: it runs these sources in our tests.
  const set = new SourceSet(sources, { context, clock, random });
  try {
    for (const index of sources.keys()) set.start(index);
    const waitEndsAt = clock.now() + waitMs;
    /** How many sets had come when the last union was made. */
    let seen = 0;
    let remindAt: number | undefined;
    while (!signal.aborted) {
      const { states } = set;
      const now = clock.now();
      const isWaiting = now < waitEndsAt && states.some(({ phase }) => phase === "pending");
      const isFailing = states.some(({ phase }) => phase === "failing");
      const versions = states.reduce((sum, { version }) => sum + version, 0);
      if (!isWaiting && versions !== seen) {
        seen = versions;
        remindAt = isFailing ? (remindAt ?? now + reminderMs) : undefined;
        yield union(states.flatMap(({ endpoints }) => (endpoints === undefined ? [] : [endpoints])));
      } else if (remindAt !== undefined && now >= remindAt) {
        remindAt = undefined;
        if (isFailing) set.remind();
      } else if (states.every(({ phase }) => phase === "final")) {
        return;
      } else {
        await set.change(isWaiting ? waitEndsAt : remindAt);
      }
    }
  } finally {
    set[Symbol.dispose]();
  }
}
