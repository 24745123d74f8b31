/** What a hashing policy hashes of a call: its own key, or what the option `key` finds in it. */
import type { CallInfo } from "../core/contracts.ts";
import { type OptionReader, show } from "../core/option-reader.ts";

/**
 * Where the key of a call comes from: a function of the call, or a request header. A call whose key is undefined
 * (or whose header is missing) goes to a node by chance.
 */
export type HashKey = ((call: CallInfo) => string | undefined) | { readonly header: string };

/** Reads the key of a call; undefined when it has none. */
export type KeyReader = (call: CallInfo) => string | undefined;

/** The two options that all hashing policies share. */
export interface HashOptions {
  /**
   * What of a call is hashed: `(call) => call.path`, or `{ header: "x-user" }` for a request header. A call's own
   * `hashKey` comes before it. Default: nothing but `hashKey`. Calls without a key go to nodes by chance, in
   * proportion to weight.
   */
  readonly key?: HashKey | undefined;
  /**
   * How much more than its fair share of the calls in flight a node may have, at least 1; beyond it a key's calls
   * go on to the next node for that key. Default 1.25: no node has more than a quarter above its share, rounded up
   * to whole calls, and the nodes to look at are few, of the order of 1 / 0.25^2 (V. Mirrokni, M. Thorup, M.
   * Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016). The share counts the call to come, so with few
   * calls in flight it is one or two calls. `false`: a key never leaves its node for load.
   */
  readonly boundFactor?: number | false | undefined;
}

/** @throws TypeError for anything that is neither a function nor an object with the name of a header. */
export function readKey(reader: OptionReader, path: string): KeyReader {
  const key = reader.value("key");
  if (key === undefined) return (call) => call.hashKey;
  if (typeof key === "function") {
    const read = key as KeyReader;
    return (call) => call.hashKey ?? read(call);
  }
  const header = (key as { readonly header?: unknown } | null)?.header;
  if (
    typeof key !== "object" ||
    typeof header !== "string" ||
    header === "" ||
    Object.keys(key as object).length > 1
  ) {
    throw new TypeError(`${path}.key must be a function or { header: "name" }, got ${show(key)}`);
  }
  const name = header.toLowerCase();
  return (call) => call.hashKey ?? call.header(name);
}

/** Infinity for `false`. @throws RangeError for a factor below 1, TypeError for what is not a number. */
export function readBoundFactor(reader: OptionReader): number {
  if (reader.value("boundFactor") === false) return Number.POSITIVE_INFINITY;
  return reader.number("boundFactor", { default: 1.25, min: 1 });
}
