/** Watches a source in the background and writes down, in order, the sets it names and the errors it reports. */
import type { Discovery } from "../core/contracts.ts";

export interface Watched {
  /** A set as its addresses, `a, b`; an error as `! message`. */
  readonly events: string[];
  readonly controller: AbortController;
  /** Resolves when the watch has ended, and rejects if it threw. */
  readonly ended: Promise<void>;
}

export function watchInBackground(discovery: Discovery, service = "orders"): Watched {
  const controller = new AbortController();
  const { signal } = controller;
  const events: string[] = [];
  const report = (error: unknown): void => void events.push(`! ${(error as Error).message}`);
  const ended = (async () => {
    for await (const set of discovery.watch({ service, signal, report })) {
      events.push(set.map(({ address }) => address).join(", "));
    }
  })();
  return { events, controller, ended };
}
