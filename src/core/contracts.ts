/** The contracts between the rooms: where endpoints come from, and who picks the node. */
import type { Endpoint } from "./endpoint.ts";
import type { Node } from "./node.ts";
import type { Outcome } from "./outcome.ts";

/** What a discovery source is given for as long as it is watched. */
export interface DiscoveryContext {
  /** The service whose endpoints are wanted. */
  readonly service: string;
  /** Aborted when nobody wants the endpoints any more: release everything and return. */
  readonly signal: AbortSignal;
  /**
   * Tells of an error that the source deals with by itself; the last set stays in use, as stale. Once recovered, the
   * source yields its set again, changed or not: that is what makes it fresh.
   */
  report(error: unknown): void;
  /**
   * For a source that asks at intervals: what it adds here is called when the set may have changed (a connection broke,
   * a server said that it goes), so that it may ask sooner. How soon, and how often, is for the source to bound.
   */
  readonly wakers?: Set<() => void> | undefined;
}

/**
 * A source of endpoint sets. Each value is the whole set, not a change.
 *
 * Returning means that the set is final. Throwing makes the guard back off and call `watch` again; each call
 * starts with a fresh list. A source that can resume by itself reconnects itself and uses `report()`.
 *
 * @example
 * const twoNodes: Discovery = {
 *   async *watch() {
 *     yield [{ address: "http://127.0.0.1:8080" }, { address: "http://127.0.0.1:8081" }];
 *   },
 * };
 */
export interface Discovery {
  watch(context: DiscoveryContext): AsyncIterable<readonly Endpoint[]>;
  /**
   * Only for a source that the program itself controls, as `list()`: hands over the present set before it
   * returns, and each later set at the moment it is made, past debounce and guards. Returns the function that
   * ends it. When present it is used in place of `watch`.
   */
  subscribe?(apply: (endpoints: readonly Endpoint[]) => void): () => void;
}

/** One instance that announces itself: what a registry is told, and what discovery then reports of it. */
export interface Instance extends Endpoint {
  /** The service that it is an instance of. One server with several services registers an instance for each. */
  readonly service: string;
  /**
   * Names this start of this process (`host:port:random`) and is never used again, not even after a restart at the
   * same address: what an old process takes out late is then not its successor. Printable ASCII without white space or
   * slashes, at most 200 characters, so that every registry can use it as a key.
   */
  readonly id: string;
  /** Of the software that runs. Registries that have a field for it tell it; the others leave it out. */
  readonly version?: string | undefined;
}

/**
 * A registry that takes announcements.
 *
 * `register` resolves when the registry has the instance for the first time, and keeps it there from then on: by lease
 * or heartbeat, and by announcing it again whenever it is found missing (a lapsed lease, a wiped store), with jitter.
 * Errors on the way, also before the first success, go to `context.report()`, and it tries again. It rejects only where
 * trying again cannot help: for an instance that this registry cannot hold (TypeError or RangeError), and with the
 * signal's reason once that is aborted.
 *
 * Disposing stops that at once, so that nothing announces the instance again, and then takes out what was announced
 * under this id, and nothing else. It resolves when the registry has confirmed it, also if there was nothing to take
 * out any more; it rejects when it could not be done, and the instance is then gone when its lease ends. Disposing twice
 * does it once. How long it may take is for the caller to bound, who aborts the signal: that lets go of everything at
 * once, under way or not, without taking anything out.
 */
export interface Registry {
  register(instance: Instance, context: DiscoveryContext): Promise<AsyncDisposable>;
}

/** How much a call matters when not all can be served: `sheddable` goes first, `critical` last. */
export type CallPriority = "critical" | "default" | "sheddable";

/** What a policy may know of the call it picks for. */
export interface CallInfo {
  readonly method: string;
  readonly path: string;
  /** What hashing policies hash, when the call was given one. */
  readonly hashKey?: string | undefined;
  /** As the call's view says, else "default". */
  readonly priority?: CallPriority | undefined;
  /** A request header by its lower-case name. */
  header(name: string): string | undefined;
  /** Nodes that this call has tried; a picker leaves them out. */
  readonly tried: readonly Node[];
}

/**
 * Takes one node for one call out of the set it was built for. Immutable in that set: a change builds a new
 * picker. A pick allocates nothing and asks no clock.
 */
export interface Picker {
  /** The node for this call, or undefined when every node of the set was tried. */
  pick(call: CallInfo): Node | undefined;
}

/**
 * A selection algorithm. Options that it needs, such as its source of chance, are given to its factory. What a picker throws
 * fails the call that it was asked for; what a policy throws is told once as a warning of the process, and fails none
 * unless it has never built a picker.
 */
export interface Policy {
  readonly name: string;
  /**
   * Builds the picker for the nodes that may be called now.
   *
   * @param nodes at least one; the array is never changed afterwards.
   * @param previous the picker that this one replaces, to take over where it stood.
   */
  build(nodes: readonly Node[], previous?: Picker): Picker;
  /**
   * Only for a policy that uses some of the nodes: which of these it would pick from, for transports that keep
   * connections ready. Depends on nothing but the nodes.
   */
  candidates?(nodes: readonly Node[]): readonly Node[];
  /**
   * Only for a policy that keeps averages of its own: told of each attempt that says how fast or how well a node
   * answers. A good answer comes as a success at its final headers; whatever ends otherwise, when it ends. A body
   * that breaks off after good headers gives both.
   *
   * @param node a node of any set that was built for; it may have been taken out meanwhile.
   * @param latencyMs until the final headers or, without any, until the end; without the time in which this process
   *   was blocked.
   * @param now the cluster's clock.
   */
  observe?(node: Node, latencyMs: number, outcome: Outcome, now: number): void;
  /** Only for a policy that has another one pick: that one. */
  readonly inner?: Policy | undefined;
}
