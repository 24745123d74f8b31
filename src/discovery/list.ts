/**
 * Discovery under the program's own control: a list that may be changed while calls run.
 *
 * A registry may be wrong, so what it says is guarded; what the program says is done at once. A bad endpoint is
 * a mistake in the program here, and throws where it is made, with nothing changed.
 */
import { parseAddress, withoutGrpcScheme } from "../core/address.ts";
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import { checkEndpoint, type Endpoint } from "../core/endpoint.ts";

/**
 * A set of endpoints that the program sets. One list may serve several clusters.
 *
 * @example
 * const nodes = list(["http://10.0.0.1:8080", { address: "http://10.0.0.2:8080", weight: 2 }]);
 * const orders = new Balancer({ name: "orders", discovery: nodes });
 * nodes.add("http://10.0.0.3:8080");
 * nodes.remove("http://10.0.0.1:8080");
 *
 * @throws TypeError for what is neither an address nor an object, RangeError for a bad address, weight, zone,
 *   priority or metadata; both name the endpoint.
 */
export function list(endpoints: readonly (Endpoint | string)[]): ListDiscovery {
  return new ListDiscovery(endpoints);
}

interface Entry {
  readonly endpoint: Endpoint;
  /** The canonical address; one written without a scheme counts as http. */
  readonly key: string;
}

/** Made by `list()`. */
export class ListDiscovery implements Discovery {
  #entries: readonly Entry[];
  #endpoints: readonly Endpoint[];
  /** Counts the changes, so that a change made while one is handed out is noticed. */
  #version = 0;
  readonly #subscribers: Set<(endpoints: readonly Endpoint[]) => void> = new Set();

  constructor(endpoints: readonly (Endpoint | string)[]) {
    this.#entries = createEntries(endpoints);
    this.#endpoints = endpointsOf(this.#entries);
  }

  /** The present set. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /**
   * Replaces the whole set. An empty one is taken at its word.
   *
   * @throws like `list()`; the set is then as it was.
   */
  set(endpoints: readonly (Endpoint | string)[]): void {
    this.#replace(createEntries(endpoints));
  }

  /**
   * Adds one endpoint, or replaces the one that has the same address.
   *
   * @throws like `list()`; the set is then as it was.
   */
  add(endpoint: Endpoint | string): void {
    const entry = createEntry(endpoint, "endpoint");
    const index = this.#entries.findIndex(({ key }) => key === entry.key);
    if (index < 0) this.#replace([...this.#entries, entry]);
    else
      this.#replace(
        this.#entries.flatMap((old, at) => (at === index ? entry : old.key === entry.key ? [] : old)),
      );
  }

  /**
   * Removes the endpoint with this address, in whichever spelling. When one of the two is written without a
   * scheme, it matches http, or else https.
   *
   * @returns whether there was one.
   * @throws RangeError for what is not an address.
   */
  remove(address: string): boolean {
    const key = parseAddress(withoutGrpcScheme(address)).text;
    let rest = this.#entries.filter((entry) => entry.key !== key);
    if (rest.length === this.#entries.length) {
      const secureKey = parseAddress(withoutGrpcScheme(address), "https").text;
      rest = rest.filter(
        ({ endpoint }) => parseAddress(withoutGrpcScheme(endpoint.address), "https").text !== secureKey,
      );
    }
    if (rest.length === this.#entries.length) return false;
    this.#replace(rest);
    return true;
  }

  subscribe(apply: (endpoints: readonly Endpoint[]) => void): () => void {
    // A function of our own, so that the same `apply` given twice is two subscriptions.
    const subscriber = (endpoints: readonly Endpoint[]): void => apply(endpoints);
    this.#subscribers.add(subscriber);
    subscriber(this.#endpoints);
    return () => {
      this.#subscribers.delete(subscriber);
    };
  }

  async *watch({
    signal,
  }: Pick<DiscoveryContext, "signal">): AsyncGenerator<readonly Endpoint[], void, void> {
    let wake = (): void => {};
    const awaken = (): void => wake();
    const unsubscribe = this.subscribe(awaken);
    signal.addEventListener("abort", awaken);
    try {
      let seen = -1;
      while (!signal.aborted) {
        if (seen !== this.#version) {
          seen = this.#version;
          yield this.#endpoints;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", awaken);
      unsubscribe();
    }
  }

  #replace(entries: readonly Entry[]): void {
    this.#entries = entries;
    this.#endpoints = endpointsOf(entries);
    const version = ++this.#version;
    const failures: unknown[] = [];
    for (const subscriber of [...this.#subscribers]) {
      // A subscriber may change the list or end another; the change has then reached everybody already.
      if (this.#version !== version) break;
      if (!this.#subscribers.has(subscriber)) continue;
      try {
        subscriber(this.#endpoints);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

function createEntries(endpoints: readonly (Endpoint | string)[]): readonly Entry[] {
  if (!Array.isArray(endpoints)) {
    throw new TypeError(`endpoints must be an array, got ${describeType(endpoints)}`);
  }
  return Array.from(endpoints, (endpoint, index) => createEntry(endpoint, `endpoints[${index}]`));
}

function createEntry(given: Endpoint | string, name: string): Entry {
  if (typeof given !== "string" && (typeof given !== "object" || given === null || Array.isArray(given))) {
    throw new TypeError(`${name} must be an address or an object, got ${describeType(given)}`);
  }
  const source: Endpoint = typeof given === "string" ? { address: given } : given;
  if (typeof source.address !== "string") {
    throw new TypeError(`${name}.address must be a string, got ${describeType(source.address)}`);
  }
  let key: string;
  try {
    // A list may serve gRPC. Who cannot call such an address refuses it where it is used.
    key = checkEndpoint({ ...source, address: withoutGrpcScheme(source.address) }).address.text;
  } catch (error) {
    throw new RangeError(`${name}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  // A copy, so that what the program does to its object later is not a change that nobody was told of.
  const { metadata } = source;
  const copy =
    metadata === undefined ? { ...source } : { ...source, metadata: Object.freeze({ ...metadata }) };
  return { endpoint: Object.freeze(copy), key };
}

function endpointsOf(entries: readonly Entry[]): readonly Endpoint[] {
  return Object.freeze(entries.map(({ endpoint }) => endpoint));
}

function describeType(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}
