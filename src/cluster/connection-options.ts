/** The option `connections`: how many there may be to a node and to all, how long they last, what is spoken over them. */
import type { Dispatcher } from "undici";
import { longestTimerMs, type OptionReader } from "../core/option-reader.ts";

export interface ConnectionOptions {
  /** The most connections to one node. Default 100; further calls wait for a free one. */
  readonly perNode?: number | undefined;
  /**
   * The most connections to all nodes together. Default 1,000: below the 1,024 descriptors that a process often may
   * have. At the limit, idle connections of other nodes make room, and calls wait.
   */
  readonly total?: number | undefined;
  /** The most calls that wait for a connection to one node. Default 1,000; a call too many goes to another node. */
  readonly queue?: number | undefined;
  /** How long a call waits for one of a node's connections before it goes to another node. Default 1,000. */
  readonly queueMs?: number | undefined;
  /** How long an unused connection is kept. Default 30,000; a server that announces less gets less. */
  readonly idleMs?: number | undefined;
  /**
   * How long a connection is used at all; then it finishes its calls and closes, up to a fifth earlier so that not all
   * do so together. Default: for ever. For nodes behind an address that leads to more than one of them.
   */
  readonly maxAgeMs?: number | undefined;
  /** Connections that each node is given before it is called, and that are kept ready. Default 0. */
  readonly minPerNode?: number | undefined;
  /** How many connections may be in the making at once, to one node. Default 16. */
  readonly connectingPerNode?: number | undefined;
  /**
   * How many connections may be in the making at once, to all nodes. Default 128: a handshake costs a millisecond of
   * CPU. The first connection of a node is never held back.
   */
  readonly connecting?: number | undefined;
  /**
   * `"auto"` (default): HTTP/2 where an https node offers it, HTTP/1.1 everywhere else. `"never"`: HTTP/1.1.
   * `"prior-knowledge"`: HTTP/2 only, over plain TCP as well (h2c).
   */
  readonly http2?: "auto" | "never" | "prior-knowledge" | undefined;
  /** The most requests at once over one HTTP/2 connection, if the node does not allow fewer. Default 100. */
  readonly maxStreams?: number | undefined;
  /**
   * How often each HTTP/2 connection is sent a PING, in whole milliseconds. Default 1,000: a peer that vanished would
   * otherwise keep its calls until they time out. 0 for never.
   */
  readonly pingMs?: number | undefined;
  /** How long the answer to a PING may take before the connection is given up. Default 500. */
  readonly pingTimeoutMs?: number | undefined;
  /** How long calls in flight may go on at a node that discovery removed. Default 30,000. */
  readonly drainMs?: number | undefined;
  /** Makes the dispatcher for one node in place of our own pool of connections, for MockPool and the like. */
  readonly factory?: ((origin: URL, options: object) => Dispatcher) | undefined;
}

/** With all defaults filled in. */
export interface ConnectionRules extends Resolved<Omit<ConnectionOptions, "factory">> {
  readonly factory: ConnectionOptions["factory"];
}

/** Every field is there. */
type Resolved<Options> = { readonly [Name in keyof Options]-?: Exclude<Options[Name], undefined> };

export function resolveConnections(options: OptionReader): ConnectionRules {
  const connections = {
    perNode: options.number("perNode", { default: 100, min: 1, integer: true }),
    total: options.number("total", { default: 1_000, min: 1, integer: true }),
    queue: options.number("queue", { default: 1_000, min: 0, integer: true }),
    queueMs: options.number("queueMs", { default: 1_000, min: 0, max: longestTimerMs }),
    idleMs: options.number("idleMs", { default: 30_000, min: 1, max: longestTimerMs }),
    maxAgeMs: options.number("maxAgeMs", {
      default: Number.POSITIVE_INFINITY,
      min: 1,
      max: Number.POSITIVE_INFINITY,
    }),
    minPerNode: options.number("minPerNode", { default: 0, min: 0, integer: true }),
    connectingPerNode: options.number("connectingPerNode", { default: 16, min: 1, integer: true }),
    connecting: options.number("connecting", { default: 128, min: 1, integer: true }),
    http2: options.word("http2", ["auto", "never", "prior-knowledge"], "auto"),
    maxStreams: options.number("maxStreams", { default: 100, min: 1, integer: true }),
    pingMs: options.number("pingMs", { default: 1_000, min: 0, max: longestTimerMs, integer: true }),
    pingTimeoutMs: options.number("pingTimeoutMs", { default: 500, min: 1, max: longestTimerMs }),
    drainMs: options.number("drainMs", { default: 30_000, min: 0, max: longestTimerMs }),
    factory: options.function<(origin: URL, options: object) => Dispatcher>("factory"),
  };
  options.end();
  if (connections.minPerNode > connections.perNode) {
    throw new RangeError(
      `connections.minPerNode must be at most connections.perNode (${connections.perNode}), got ${connections.minPerNode}`,
    );
  }
  return connections;
}
