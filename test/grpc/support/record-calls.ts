/** Records how the calls of one service ended. */
import { callEnds } from "../../../src/core/events.ts";

export function recordCalls(service: string): Disposable & { readonly seen: readonly string[] } {
  const seen: string[] = [];
  const record = (event: unknown): void => {
    const ended = event as { readonly service: string; readonly outcome: string };
    if (ended.service === service) seen.push(ended.outcome);
  };
  callEnds.subscribe(record);
  return { seen, [Symbol.dispose]: () => void callEnds.unsubscribe(record) };
}
