/** What can be wrong with a connection: the faults that a fault proxy injects, and how they are read. */
import { longestTimerMs, OptionReader, show } from "../../core/option-reader.ts";

/** What the client sends ("request"), what the service sends ("response"), or both. */
export type Direction = "both" | "request" | "response";

/** Each concerns the connections that are open and those that are made while it lasts, unless it says otherwise. */
export type Fault =
  /** Everything passes, as if the proxy were not there. */
  | { readonly kind: "none" }
  /** Each piece passes `ms` later, plus a random part of `jitterMs` (default 0); order is kept. Default both ways. */
  | {
      readonly kind: "delay";
      readonly ms: number;
      readonly jitterMs?: number | undefined;
      readonly direction?: Direction | undefined;
    }
  /**
   * Nothing passes any more, ends of connections included; connections are still accepted. What was held back
   * passes when the fault is lifted. Default both ways.
   */
  | { readonly kind: "stall"; readonly direction?: Direction | undefined }
  /**
   * The client is sent a RST: at once, or after `afterBytes` more bytes of response on each connection (0: in place
   * of the first one). The service's connection ends, too.
   */
  | { readonly kind: "reset"; readonly afterBytes?: number | undefined }
  /** The client is sent a FIN after `afterBytes` more bytes of response, as if the service had ended there. */
  | { readonly kind: "truncate"; readonly afterBytes: number }
  /** `bytes` (default 1) every `everyMs` (default 10; 0 for each turn of the event loop). Default: the response. */
  | {
      readonly kind: "drip";
      readonly bytes?: number | undefined;
      readonly everyMs?: number | undefined;
      readonly direction?: Direction | undefined;
    }
  /**
   * One side is closed and the other is not told: what it sends vanishes. With the fault lifted, whoever was left
   * alone is sent a RST when it next sends something. `closed` is "service" by default, which leaves the client alone.
   */
  | { readonly kind: "half-open"; readonly closed?: "client" | "service" | undefined }
  /** New connections are refused; open ones go on. */
  | { readonly kind: "refuse" }
  /**
   * New connections are neither accepted nor refused: on Linux their SYN stays unanswered. Open ones stall. With the
   * fault lifted, a client that has not given up gets through with its next SYN, after 1 s, 3 s, 7 s and so on.
   */
  | { readonly kind: "blackhole" };

/** Whether a reset has a number of bytes tells its two kinds apart; all else has a default. */
type Resolve<Each> = Each extends { readonly kind: "reset" }
  ? Each
  : { readonly [Key in keyof Each]-?: Exclude<Each[Key], undefined> };

/** The same with its defaults filled in. */
export type ResolvedFault = Resolve<Fault>;

export const noFault: ResolvedFault = { kind: "none" };

const directions: readonly Direction[] = ["both", "request", "response"];
const bytes = { min: 0, integer: true };
const duration = { min: 0, max: longestTimerMs };

/** @throws TypeError or RangeError that names what is wrong with it. */
export function readFault(given: Fault): ResolvedFault {
  const reader = new OptionReader(given, "fault");
  const fault = readByKind(reader.value("kind") as Fault["kind"], reader);
  reader.end();
  return fault;
}

function readByKind(kind: Fault["kind"], reader: OptionReader): ResolvedFault {
  switch (kind) {
    case "none":
    case "refuse":
    case "blackhole":
      return { kind };
    case "stall":
      return { kind, direction: reader.word("direction", directions, "both") };
    case "delay":
      return {
        kind,
        ms: required(reader, "ms", duration),
        jitterMs: reader.number("jitterMs", { default: 0, ...duration }),
        direction: reader.word("direction", directions, "both"),
      };
    case "reset":
      if (reader.value("afterBytes") === undefined) return { kind };
      return { kind, afterBytes: required(reader, "afterBytes", bytes) };
    case "truncate":
      return { kind, afterBytes: required(reader, "afterBytes", bytes) };
    case "drip":
      return {
        kind,
        bytes: reader.number("bytes", { default: 1, min: 1, integer: true }),
        everyMs: reader.number("everyMs", { default: 10, ...duration }),
        direction: reader.word("direction", directions, "response"),
      };
    case "half-open":
      return { kind, closed: reader.word("closed", ["client", "service"], "service") };
    default:
      throw new RangeError(`fault.kind is not one that the proxy knows, got ${show(kind)}`);
  }
}

function required(
  reader: OptionReader,
  name: string,
  rule: { readonly min: number; readonly max?: number; readonly integer?: boolean },
): number {
  if (reader.value(name) === undefined) throw new TypeError(`fault.${name} must be given`);
  return reader.number(name, { default: rule.min, ...rule });
}
