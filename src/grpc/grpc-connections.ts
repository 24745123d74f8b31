/**
 * Counts the connections of a service, over all its channels, for metrics, and knows of each whether it was of use.
 *
 * A subchannel of grpc-js has one connection after the other, and tells only of the present one. One that was told to go
 * (GOAWAY), or whose node was removed, stands for as long as it carries calls; so these are counted as well.
 */
import type { ConnectionCounts } from "../core/observation.ts";

/** One connection, from when it begins to be made until it is gone. */
export class GrpcConnection {
  state: "connecting" | "open" | "ending" = "connecting";
  calls = 0;
  /** A call went over it. */
  wasUsed = false;
  readonly #forget: () => void;

  constructor(forget: (connection: GrpcConnection) => void) {
    this.#forget = () => forget(this);
  }

  opened(): void {
    this.state = "open";
  }

  /** It could not be made, or takes no more calls. */
  left(): void {
    this.state = "ending";
    if (this.calls === 0) this.#forget();
  }

  callBegan(): void {
    this.calls++;
    this.wasUsed = true;
  }

  callEnded(): void {
    this.calls--;
    if (this.calls === 0 && this.state === "ending") this.#forget();
  }
}

export class GrpcConnections {
  readonly #byKey: Map<string, Set<GrpcConnection>> = new Map();

  /** @param key the node's address. */
  add(key: string): GrpcConnection {
    const connection = new GrpcConnection((gone) => this.#remove(key, gone));
    const known = this.#byKey.get(key);
    if (known === undefined) this.#byKey.set(key, new Set([connection]));
    else known.add(connection);
    return connection;
  }

  /** Undefined for a node without any. */
  countsOf(key: string): ConnectionCounts | undefined {
    const connections = this.#byKey.get(key);
    if (connections === undefined) return undefined;
    let connecting = 0;
    let idle = 0;
    for (const { state, calls } of connections) {
      if (state === "connecting") connecting++;
      else if (calls === 0) idle++;
    }
    // A call waits for any node's connection, and not for that of one.
    return { open: connections.size - connecting, idle, connecting, waiting: 0 };
  }

  /** Nodes come and go: nothing is kept of one that has none. */
  #remove(key: string, connection: GrpcConnection): void {
    const connections = this.#byKey.get(key);
    connections?.delete(connection);
    if (connections?.size === 0) this.#byKey.delete(key);
  }
}
