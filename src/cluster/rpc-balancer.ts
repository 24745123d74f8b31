/** What the balancers of gRPC and of Connect have in common: a cluster, shown and steered, and closed if it is theirs. */
import { withoutGrpcScheme } from "../core/address.ts";
import type { DiscoveryState } from "../core/observation.ts";
import type { Summary } from "../core/summary.ts";
import type { NodeView } from "../core/view.ts";
import { withGrpcAddresses } from "../discovery/grpc-addresses.ts";
import { Cluster } from "./cluster.ts";
import type { ExplainedCall, Explanation } from "./explain.ts";
import type { ClusterOptions } from "./options.ts";

export abstract class RpcBalancer implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly #ownsCluster: boolean;
  #closing: Promise<void> | undefined = undefined;

  /**
   * @param from the options of a cluster of its own, or a cluster that others use as well.
   * @throws TypeError or RangeError that names the option and the value it got.
   */
  protected constructor(from: ClusterOptions | Cluster) {
    this.#ownsCluster = !(from instanceof Cluster);
    this.cluster =
      from instanceof Cluster ? from : new Cluster({ ...from, discovery: withGrpcAddresses(from.discovery) });
  }

  /** Waits for the calls under way, and lets the transport's own things go. */
  protected abstract closeTransport(): Promise<void>;

  get name(): string {
    return this.cluster.name;
  }

  /** All nodes as they are now, those that drain included. */
  get nodes(): readonly NodeView[] {
    return this.cluster.nodes;
  }

  /** Whether every node is out and calls go out anyway. */
  get failingOpen(): boolean {
    return this.cluster.failingOpen;
  }

  get discoveryState(): DiscoveryState {
    return this.cluster.discoveryState;
  }

  /** See `Cluster.ready`. Connections are made by the first call; over gRPC also by a channel's `waitForReady`. */
  ready(options?: { readonly timeoutMs?: number }): Promise<void> {
    return this.cluster.ready(options);
  }

  /** See `Cluster.drain`. */
  drain(address: string): boolean {
    return this.cluster.drain(withoutGrpcScheme(address));
  }

  /** See `Cluster.undrain`. */
  undrain(address: string): boolean {
    return this.cluster.undrain(withoutGrpcScheme(address));
  }

  /** See `Cluster.explain`. */
  explain(call?: ExplainedCall): Explanation {
    return this.cluster.explain(call);
  }

  /** Plain data for logs: what `nodes` says, and how the service is. */
  toJSON(): Summary {
    return this.cluster.toJSON();
  }

  /**
   * Takes no new calls and waits for those under way, streams included. Over Connect it then closes the connections;
   * channels of grpc-js are the program's to close.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await this.closeTransport();
    if (this.#ownsCluster) await this.cluster.close();
  }
}
