/** Connects listeners to the channels of `core/events.ts`, and gives the one function that ends all of it. */
import type { Channel } from "node:diagnostics_channel";
import {
  type AttemptEndEvent,
  attemptEnds,
  callEnds,
  discoveryErrors,
  nodeStates,
  rejects,
  retries,
} from "../core/events.ts";
import type { Ledger } from "./ledger.ts";

/** Ends what it was returned by; a second call does nothing. Also for `using`. */
export type Stop = (() => void) & Disposable;

export function listen<Event>(channel: Channel<Event>, listener: (event: Event) => void): () => void {
  const onMessage = (message: unknown) => listener(message as Event);
  channel.subscribe(onMessage);
  return () => {
    channel.unsubscribe(onMessage);
  };
}

/** Puts events into the books; attempts go through `attemptEnded`, which may do more with them. */
export function feed(
  ledger: Omit<Ledger<unknown>, "services" | "rows" | "observe" | "attemptEnded">,
  attemptEnded: (event: AttemptEndEvent) => void,
): (() => void)[] {
  return [
    listen(attemptEnds, attemptEnded),
    listen(callEnds, (event) => ledger.callEnded(event)),
    listen(retries, (event) => ledger.retried(event)),
    listen(rejects, (event) => ledger.rejected(event)),
    listen(nodeStates, (event) => ledger.stateChanged(event)),
    listen(discoveryErrors, (event) => ledger.discoveryFailed(event)),
  ];
}

export function stopAll(undo: readonly (() => void)[]): Stop {
  let isStopped = false;
  const stop = () => {
    if (isStopped) return;
    isStopped = true;
    for (const one of undo) one();
  };
  return Object.assign(stop, { [Symbol.dispose]: stop });
}
