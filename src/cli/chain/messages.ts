/** What a layer of the chain is, what it counts, and the messages in which both are told between its process and ours. */

/** With Evenkeel on both sides of each call, or over undici as it is usually set up. The handlers are the same. */
export type ChainKind = "evenkeel" | "plain";

/** What the processes of a layer do. */
export interface LayerBehaviour {
  /** How long a worker takes for one request. */
  readonly workMs: number;
  /** Requests worked on at once; further ones wait, as for a pool of threads or database connections. */
  readonly workers: number;
  /** From 500 on it is answered at once, without work. */
  readonly status: number;
}

/** How a layer calls the one below it. */
export interface CallSettings {
  /** A call has failed after this; over plain undici each layer counts for itself. */
  readonly totalMs: number;
  /** Connections to each process. */
  readonly connections: number;
  /** All tries counted. */
  readonly attempts: number;
  /** Evenkeel: retries that a process has a second, besides a fifth of its calls. */
  readonly retriesPerSecond: number;
  /** Evenkeel: whether the breaker is on. */
  readonly breaker: boolean;
  /** Evenkeel: the most calls under way to the layer below, and how many more may wait for a place for a moment. */
  readonly inflight: number;
  readonly queue: number;
}

export interface LayerPlan {
  readonly kind: ChainKind;
  /** For messages: "B". */
  readonly name: string;
  readonly behaviour: LayerBehaviour;
  /** Evenkeel: however few requests seem enough, this many are let in at once. */
  readonly leastLimit: number;
  /** The layer below, if there is one. */
  readonly below: LayerBelow | undefined;
}

export interface LayerBelow {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly settings: CallSettings;
}

/** Counts since the process started. */
export interface LayerStats {
  /** Requests that arrived, refused ones included. */
  readonly requests: number;
  /** Answers with a status from 500 on, refused requests included. */
  readonly failed: number;
  /** Requests that have arrived and are not answered. */
  readonly inflight: number;
  /** Requests that a worker has done, and how long the workers took for all of them. */
  readonly worked: number;
  readonly workedMs: number;
  readonly rssBytes: number;
  /** Requests that were refused before their work started. */
  readonly shed: number;
  /** The most requests that may be in flight now; undefined where there is no limit. */
  readonly limit: number | undefined;
  readonly below: CallerStats | undefined;
}

/** How a layer's calls to the one below it stand. */
export interface CallerStats {
  /** Requests sent, retries included. */
  readonly sent: number;
  /** Calls that have not ended. */
  readonly inflight: number;
  /** Calls that were refused before anything was sent for them. */
  readonly refused: number;
  /** The share of calls that the breaker refuses now, from 0 to 1. */
  readonly shedding: number;
}

export type LayerMessage =
  | { readonly kind: "start"; readonly plan: LayerPlan }
  | { readonly kind: "configure"; readonly behaviour: Partial<LayerBehaviour> }
  | { readonly kind: "stats"; readonly id: number };

export type LayerReply =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "configured" }
  | { readonly kind: "stats"; readonly id: number; readonly stats: LayerStats };
