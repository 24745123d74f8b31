/**
 * The endpoints of one service by the key under which each stands: lists replace them, events change them.
 *
 * By key, since a deletion tells nothing else. What cannot be read is left out and named once, until it changes.
 */
import type { Endpoint } from "../../core/endpoint.ts";
import type { EtcdEntry } from "./format.ts";
import type { KeyEvent, KeyValue } from "./messages.ts";

/** Far above what any of the formats writes; what is larger is no instance. */
const largestValue = 64 * 1024;
/** How many bad values of one list or burst are named one by one; the rest is counted. */
const mostNamed = 100;

interface Known {
  readonly value: string;
  /** Undefined for a value that is no endpoint of this service, or none at all. */
  readonly endpoint: Endpoint | undefined;
}

/** What a list or a burst of events did. */
export interface Change {
  readonly isChange: boolean;
  /** One for each value that could not be read. */
  readonly errors: readonly Error[];
}

export class KeyedEndpoints {
  readonly #decode: (entry: EtcdEntry) => Endpoint | undefined;
  #known: ReadonlyMap<string, Known> = new Map();

  /** @param decode throws for a value that is wrong, and returns undefined for one that is of no concern. */
  constructor(decode: (entry: EtcdEntry) => Endpoint | undefined) {
    this.#decode = decode;
  }

  /** The whole set, new each time. */
  get endpoints(): readonly Endpoint[] {
    const endpoints: Endpoint[] = [];
    for (const { endpoint } of this.#known.values()) if (endpoint !== undefined) endpoints.push(endpoint);
    return endpoints;
  }

  /** Takes a list in place of all that was known. */
  replace(list: readonly KeyValue[]): Change {
    const before = this.#known;
    const known = new Map<string, Known>();
    const errors: Error[] = [];
    let isChange = list.length !== before.size;
    for (const kv of list) {
      const key = kv.key.toString();
      const old = before.get(key);
      const read = this.#read(key, kv, old, errors);
      if (read !== old) isChange = true;
      known.set(key, read);
    }
    this.#known = known;
    return { isChange, errors: shorten(errors) };
  }

  /** Takes events, in their order. */
  apply(events: readonly KeyEvent[]): Change {
    const known = this.#known as Map<string, Known>;
    const errors: Error[] = [];
    let isChange = false;
    for (const { type, kv } of events) {
      const key = kv.key.toString();
      if (type === "DELETE") {
        if (known.delete(key)) isChange = true;
        continue;
      }
      const old = known.get(key);
      const read = this.#read(key, kv, old, errors);
      if (read === old) continue;
      known.set(key, read);
      isChange = true;
    }
    return { isChange, errors: shorten(errors) };
  }

  #read(key: string, kv: KeyValue, old: Known | undefined, errors: Error[]): Known {
    const isTooLarge = kv.value.length > largestValue;
    // It is not kept for as long as it stands there, only by what it is known again.
    const value = isTooLarge ? `${kv.value.length} bytes of ${kv.modRevision}` : kv.value.toString();
    // Registrations that are written again with the same content are common, and no change.
    if (old?.value === value) return old;
    try {
      if (isTooLarge) {
        throw new RangeError(`it has ${kv.value.length} bytes, at most ${largestValue} are read`);
      }
      return { value, endpoint: this.#decode({ key, value }) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      errors.push(
        new Error(`the value of etcd's key ${JSON.stringify(key)} is no endpoint: ${why}`, { cause: error }),
      );
      return { value, endpoint: undefined };
    }
  }
}

function shorten(errors: readonly Error[]): readonly Error[] {
  if (errors.length <= mostNamed) return errors;
  const more = errors.length - mostNamed;
  return [...errors.slice(0, mostNamed), new Error(`${more} more values in etcd are no endpoints`)];
}
