/** Stops a program in good order when it is told to by a signal. */
import { constants } from "node:os";
import { OptionReader, show } from "../core/option-reader.ts";

/** A registration, a balancer, a database: whatever takes its time to close. */
export interface Closable {
  close(): Promise<unknown>;
}

/** What of `process` is used here. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  exit(code: number): void;
}

export interface SignalOptions {
  /** Default SIGTERM (orchestrators) and SIGINT (Ctrl+C). */
  readonly signals?: readonly NodeJS.Signals[] | undefined;
  /** In place of `process`, for tests. */
  readonly process?: SignalSource | undefined;
}

/**
 * Closes what it is given, one after the other, at the first of the signals; the process then ends by itself once
 * nothing else is open. A second signal ends it at once, with 128 and the signal's number as its exit code.
 *
 * @param closables in the order in which they are closed: registrations first, then what their calls in flight need.
 * @returns a handle whose disposal takes the listeners away; one that is closing already is waited for.
 * @throws Error at the end of closing, as an unhandled rejection, for those of `closables` that could not be closed.
 */
export function closeOnSignals(
  closables: Closable | readonly Closable[],
  options: SignalOptions = {},
): AsyncDisposable {
  const reader = new OptionReader(options, "closeOnSignals");
  const signals = reader.array("signals", ["SIGTERM", "SIGINT"]).map(checkSignal);
  const source = reader.object<SignalSource>("process", ["on", "off", "exit"]) ?? process;
  reader.end();
  const all = [closables].flat() as readonly Closable[];
  for (const closable of all) {
    if (typeof closable?.close !== "function") {
      throw new TypeError(`closeOnSignals() needs objects with close(), got ${show(closable)}`);
    }
  }
  let closing: Promise<void> | undefined;
  const listener = (signal: NodeJS.Signals): void => {
    if (closing !== undefined) source.exit(128 + (constants.signals[signal] ?? 0));
    else closing = closeAll(all);
  };
  for (const signal of signals) source.on(signal, listener);
  return {
    async [Symbol.asyncDispose]() {
      try {
        await closing;
      } finally {
        for (const signal of signals) source.off(signal, listener);
      }
    },
  };
}

/** Each gets its turn, whatever becomes of those before it. */
async function closeAll(closables: readonly Closable[]): Promise<void> {
  const errors: unknown[] = [];
  for (const closable of closables) {
    try {
      await closable.close();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, "not everything could be closed");
}

function checkSignal(signal: unknown): NodeJS.Signals {
  if (typeof signal === "string" && signal in constants.signals) return signal as NodeJS.Signals;
  throw new RangeError(`closeOnSignals.signals must name signals such as "SIGTERM", got ${show(signal)}`);
}
