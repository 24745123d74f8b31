/**
 * Turns a snapshot as a source reports it into checked endpoints: a bad one is refused alone, and what has not
 * changed since the last snapshot keeps its object.
 *
 * Registries push the whole set for each small change. Parsing 10,000 addresses again for every push would
 * block the event loop for tens of milliseconds; remembering them by the text they were written in costs a few.
 */
import { isDeepStrictEqual } from "node:util";
import { type CheckedEndpoint, checkEndpoint, type Endpoint } from "../core/endpoint.ts";

/** More instances of one service than any registry is known to hold; beyond it something else is wrong. */
const mostEndpoints = 100_000;
/** How many bad endpoints of one snapshot are named one by one; the rest is counted. */
const mostNamed = 100;

/** What is remembered of one endpoint. */
interface Known {
  checked: CheckedEndpoint;
  /** Its address as it was written. */
  written: string;
  /** The last snapshot that had it. */
  seenIn: number;
}

/** Checks the snapshots of one source, one after another. */
export class EndpointChecker {
  readonly #scheme: "http" | "https";
  /** The endpoints of the last snapshot by their address as written, which spares parsing it, and by key. */
  readonly #byText: Map<string, Known> = new Map();
  readonly #byKey: Map<string, Known> = new Map();
  #snapshots = 0;
  /** What was said about the last snapshot, so that it is not said again for each push. */
  #refusals: ReadonlySet<string> = new Set();

  constructor(options: { readonly scheme: "http" | "https" }) {
    this.#scheme = options.scheme;
  }

  /**
   * Checks a snapshot. Of several endpoints with one canonical address the first is taken.
   *
   * @param refuse is told of each bad endpoint, once for as long as it stays in the snapshots.
   * @throws TypeError or RangeError when the snapshot as a whole is no use: not an array, or above 100,000
   *   endpoints.
   */
  check(
    endpoints: readonly (Endpoint | string)[],
    refuse: (error: Error) => void,
  ): readonly CheckedEndpoint[] {
    if (!Array.isArray(endpoints)) {
      throw new TypeError(
        `a snapshot must be an array of endpoints, got ${endpoints === null ? "null" : typeof endpoints}`,
      );
    }
    if (endpoints.length > mostEndpoints) {
      throw new RangeError(
        `a snapshot has ${endpoints.length} endpoints, at most ${mostEndpoints} are allowed`,
      );
    }
    this.#snapshots++;
    const good: CheckedEndpoint[] = [];
    const refusals = new Refusals(this.#refusals, refuse);
    // By index: a hole in the array is a bad endpoint, too.
    for (let index = 0; index < endpoints.length; index++) {
      try {
        good.push(this.#recall(endpoints[index]) ?? this.#learn(endpoints[index]));
      } catch (error) {
        refusals.add(error instanceof Error ? error : new RangeError(String(error)));
      }
    }
    // An empty set is mostly an accident: the full one that follows should find its objects again.
    if (good.length > 0) this.#forgetUnseen(good.length);
    this.#refusals = refusals.close();
    return good;
  }

  /** The object that the last snapshot's endpoint was checked into, if this one says the same. */
  #recall(given: Endpoint | string): CheckedEndpoint | undefined {
    const known = this.#byText.get(typeof given === "string" ? given : given?.address);
    if (known === undefined || known.seenIn === this.#snapshots) return undefined;
    const { weight = 1, zone, priority = 0, metadata } = typeof given === "string" ? bare : given;
    if (!isUnchanged(known.checked, weight, zone, priority, metadata)) return undefined;
    known.seenIn = this.#snapshots;
    return known.checked;
  }

  #learn(given: Endpoint | string): CheckedEndpoint {
    const checked = checkEndpoint(given, this.#scheme);
    const written = typeof given === "string" ? given : given.address;
    const key = checked.address.text;
    const known = this.#byKey.get(key);
    if (known === undefined) {
      const added: Known = { checked, written, seenIn: this.#snapshots };
      this.#byKey.set(key, added);
      this.#byText.set(written, added);
      return checked;
    }
    if (known.seenIn === this.#snapshots) {
      throw new RangeError(
        `endpoint "${written}" is the same instance as "${known.written}", listed before it`,
      );
    }
    this.#byText.delete(known.written);
    this.#byText.set(written, known);
    known.written = written;
    known.seenIn = this.#snapshots;
    const { weight, zone, priority, metadata } = checked;
    // Only the spelling is new: to everybody else it is the same endpoint.
    if (!isUnchanged(known.checked, weight, zone, priority, metadata)) known.checked = checked;
    return known.checked;
  }

  #forgetUnseen(seen: number): void {
    if (this.#byKey.size === seen) return;
    for (const [key, known] of this.#byKey) {
      if (known.seenIn === this.#snapshots) continue;
      this.#byKey.delete(key);
      this.#byText.delete(known.written);
    }
  }
}

/** What an address alone stands for. */
const bare: Omit<Endpoint, "address"> = {};

function isUnchanged(
  checked: CheckedEndpoint,
  weight: unknown,
  zone: unknown,
  priority: unknown,
  metadata: unknown,
): boolean {
  return (
    checked.weight === weight &&
    checked.zone === zone &&
    checked.priority === priority &&
    isSameMetadata(checked.metadata, metadata)
  );
}

function isSameMetadata(checked: Readonly<Record<string, unknown>>, given: unknown): boolean {
  if (given === undefined || given === null) return Object.keys(checked).length === 0;
  if (typeof given !== "object" || Array.isArray(given)) return false;
  const fields = given as Record<string, unknown>;
  let count = 0;
  for (const key in checked) {
    count++;
    const before = checked[key];
    const now = fields[key];
    if (Object.is(before, now)) continue;
    // Nested values come out of a parser as new objects each time.
    if (typeof before !== "object" || typeof now !== "object" || !isDeepStrictEqual(before, now))
      return false;
  }
  return Object.keys(fields).length === count;
}

/** Names what is refused in one snapshot, leaving out what was refused for the same reason in the one before. */
class Refusals {
  readonly #before: ReadonlySet<string>;
  readonly #refuse: (error: Error) => void;
  readonly #messages: Set<string> = new Set();
  #fresh = 0;

  constructor(before: ReadonlySet<string>, refuse: (error: Error) => void) {
    this.#before = before;
    this.#refuse = refuse;
  }

  add(error: Error): void {
    const { message } = error;
    if (this.#messages.has(message)) return;
    this.#messages.add(message);
    if (!this.#before.has(message) && ++this.#fresh <= mostNamed) this.#refuse(error);
  }

  close(): ReadonlySet<string> {
    const unnamed = this.#fresh - mostNamed;
    if (unnamed > 0)
      this.#refuse(new RangeError(`${unnamed} more endpoints of the same snapshot were refused`));
    return this.#messages;
  }
}
