/** How a backend behaves, what it counts, and the messages in which both are told between its process and ours. */

export interface BackendBehaviour {
  /** How long a worker takes for one request. */
  readonly workMs: number;
  /** Requests worked on at once; further ones wait. */
  readonly workers: number;
  /** From 500 on it is sent at once, without work. */
  readonly status: number;
  /** For `/health`, sent at once and without work; 0 for the same as any other path. */
  readonly healthStatus: number;
  /** Sent as it is; empty for a line of JSON that names the process. */
  readonly body: string;
  /** How long after the first half of the body its second half is sent; 0 for the whole body at once. */
  readonly bodyMs: number;
  /** For this long after its start a request takes `coldWorkMs`, as with empty caches. */
  readonly coldMs: number;
  readonly coldWorkMs: number;
  /**
   * How long a connection may be unused before it is closed, without having been announced: what makes clients send
   * into a connection that is being closed. 0 for Node's own way: 60 s, announced in a Keep-Alive header.
   */
  readonly keepAliveTimeoutMs: number;
  /** HTTP/2: how often every session is told to go (GOAWAY), its streams being served to their end; 0 for never. */
  readonly goAwayEveryMs: number;
  /** HTTP/2: every stream is refused (RST_STREAM with REFUSED_STREAM), which says that it was not worked on. */
  readonly refuseStreams: boolean;
  /** HTTP/2: every stream ends its session with GOAWAY and ENHANCE_YOUR_CALM. */
  readonly calm: boolean;
  /** File to which each x-test-key is appended as it arrives, for what a killed process saw; empty for none. */
  readonly journal: string;
}

export const defaultBehaviour: BackendBehaviour = {
  workMs: 5,
  workers: 8,
  status: 200,
  healthStatus: 0,
  body: "",
  bodyMs: 0,
  coldMs: 0,
  coldWorkMs: 100,
  keepAliveTimeoutMs: 0,
  goAwayEveryMs: 0,
  refuseStreams: false,
  calm: false,
  journal: "",
};

/** Counts since the process started. */
export interface BackendStats {
  /** Requests that arrived, refused streams included. */
  readonly requests: number;
  readonly inflight: number;
  /** Connections accepted; over TLS only those whose handshake was completed. */
  readonly connections: number;
  /** How often each value of the header x-test-key arrived. */
  readonly keys: Readonly<Record<string, number>>;
  /** Requests by the HTTP version that they came in: "1.1", "2.0". */
  readonly versions: Readonly<Record<string, number>>;
}

/**
 * - `http1`: HTTP/1.1 without encryption
 * - `h2c`: HTTP/2 without encryption, from the first byte on ("prior knowledge")
 * - `https`: TLS; HTTP/2 or HTTP/1.1, as the client wishes (ALPN)
 * - `https1`: TLS; HTTP/1.1 only
 * - `h2`: TLS; HTTP/2 only
 */
export type BackendProtocol = "http1" | "h2c" | "https" | "https1" | "h2";

/** PEM, as text. */
export interface BackendTls {
  readonly key: string;
  /** The server's certificate, followed by those between it and the authority. */
  readonly cert: string;
  /** Asks clients for a certificate of this authority, and refuses them without one. */
  readonly clientCa?: string | undefined;
}

export interface BackendPlace {
  /** Default 0: one that is free. */
  readonly port?: number | undefined;
  /** Default `http1`. */
  readonly protocol?: BackendProtocol | undefined;
  /** Needed for `https`, `https1` and `h2`. */
  readonly tls?: BackendTls | undefined;
}

export type BackendMessage =
  | { readonly kind: "listen"; readonly place: BackendPlace; readonly behaviour: Partial<BackendBehaviour> }
  | { readonly kind: "configure"; readonly behaviour: Partial<BackendBehaviour> }
  | { readonly kind: "stats" };

export type BackendReply =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "configured" }
  | { readonly kind: "stats"; readonly stats: BackendStats };
