/** Passes on what undici's own agents pass on: connections made, lost and failed, and room for more calls. */
import type { EventEmitter } from "node:events";
import type { Dispatcher } from "undici";

const events = ["drain", "connect", "disconnect", "connectionError"] as const;

/**
 * Emits each event of `from` on `to` as well, with `to` put first among the targets.
 *
 * @returns ends it.
 */
export function forwardEvents(from: EventEmitter | Dispatcher, to: Dispatcher): () => void {
  const source: EventEmitter = from as EventEmitter;
  const target: EventEmitter = to as EventEmitter;
  const listeners = events.map((event) => {
    const listener = (origin: URL, targets: readonly Dispatcher[] = [], error?: Error) => {
      target.emit(event, origin, [to, ...targets], error);
    };
    source.on(event, listener);
    return [event, listener] as const;
  });
  return () => {
    for (const [event, listener] of listeners) source.off(event, listener);
  };
}
