/** One node as one channel sees it: the connection to it, made and made again for as long as the node is wanted. */
import { connectivityState, experimental, Metadata } from "@grpc/grpc-js";
import type { Clock, Timer } from "../core/clock.ts";
import type { HealthCheck } from "../core/health-check.ts";
import type { Node } from "../core/node.ts";
import { authorityOf } from "./authority.ts";
import { type ConnectionWatch, watchConnection } from "./connection-watch.ts";
import { GrpcCheck } from "./grpc-check.ts";
import type { GrpcConnection } from "./grpc-connections.ts";
import type { GrpcService, NodeEndpoint } from "./grpc-service.ts";
import { ReconnectPause } from "./reconnect-pause.ts";

const { CONNECTING, IDLE, READY, TRANSIENT_FAILURE } = connectivityState;
const noMetadata = new Metadata();
type Helper = experimental.ChannelControlHelper;
type Options = ConstructorParameters<typeof experimental.LeafLoadBalancer>[2];

export class Leaf {
  readonly node: Node;
  /** Takes calls; undefined while there is no connection. */
  subchannel: experimental.SubchannelInterface | undefined = undefined;
  /** Of the last connection that could not be made. */
  error = "";
  readonly #leaf: experimental.LeafLoadBalancer;
  readonly #changed: (leaf: Leaf, wasReady: boolean) => void;
  /** The connection, ready or not. */
  #latest: experimental.SubchannelInterface | undefined = undefined;
  #watch: ConnectionWatch | undefined = undefined;
  /** The one that stands, or stood last. */
  #stood: GrpcConnection | undefined = undefined;
  readonly #pause: ReconnectPause = new ReconnectPause();
  #pauseTimer: Timer | undefined = undefined;
  readonly #clock: Clock;
  readonly #check: HealthCheck | undefined;
  readonly #authority: string;
  #isOver = false;

  /** @param changed told of each change of the connection's state; `subchannel` says what it is now. */
  constructor(
    endpoint: NodeEndpoint,
    service: GrpcService,
    parent: Helper,
    options: Options,
    changed: (leaf: Leaf, wasReady: boolean) => void,
  ) {
    this.node = endpoint.node;
    this.#changed = changed;
    this.#clock = service.cluster.clock;
    this.#check = service.cluster.options.check;
    this.#authority = options["grpc.default_authority"] ?? authorityOf(service.cluster.options);
    const helper = experimental.createChildChannelControlHelper(parent, {
      createSubchannel: (address, args) => {
        const subchannel = parent.createSubchannel(address, args);
        this.#watch = watchConnection(
          service,
          endpoint.node.key,
          subchannel.getRealSubchannel(),
          endpoint.dial,
        );
        this.#latest = subchannel;
        return subchannel;
      },
      updateState: (state, picker, message) => this.#update(state, picker, message),
    });
    this.#leaf = new experimental.LeafLoadBalancer(endpoint, helper, options, "");
  }

  /** Whether a connection is being made for the first time, or again after one has been lost, perhaps after a pause. */
  get isConnecting(): boolean {
    const state = this.#leaf.getConnectivityState();
    return state === CONNECTING || state === IDLE;
  }

  /** As it is counted; undefined while there is none. */
  get connection(): GrpcConnection | undefined {
    return this.#watch?.connection;
  }

  connect(): void {
    this.#leaf.startConnecting();
  }

  /** Tries again now, whatever the pause after failed connections. */
  hasten(): void {
    if (this.#leaf.getConnectivityState() === TRANSIENT_FAILURE)
      this.#latest?.getRealSubchannel().resetBackoff();
  }

  /** Connects now, where that is put off since connections have ended as soon as they stood. */
  resume(): void {
    if (this.#pauseTimer === undefined) return;
    this.#pauseTimer.cancel();
    this.#reconnect();
  }

  /** Lets the connection go; calls that are under way on it finish. */
  destroy(): void {
    this.#isOver = true;
    this.#pauseTimer?.cancel();
    this.#use(undefined);
    this.#leaf.destroy();
  }

  /** The node's health is asked for on the connection that calls have. */
  #use(subchannel: experimental.SubchannelInterface | undefined): void {
    const before = this.subchannel;
    if (before === subchannel) return;
    this.subchannel = subchannel;
    if (!(this.#check instanceof GrpcCheck)) return;
    if (subchannel !== undefined) this.#check.connected(this.node, subchannel, this.#authority);
    if (before !== undefined) this.#check.disconnected(this.node, before);
  }

  #update(state: connectivityState, picker: experimental.Picker, message: string | null): void {
    if (this.#isOver) return;
    const wasReady = this.subchannel !== undefined;
    this.#use(state === READY ? subchannelOf(picker) : undefined);
    if (state === TRANSIENT_FAILURE) this.error = message ?? "";
    if (state === READY && !wasReady) {
      this.#stood = this.connection;
      this.#pause.stood(this.#clock.now());
    }
    if (state === IDLE) this.#ended();
    this.#changed(this, wasReady);
  }

  /** Dropped, or told by a GOAWAY to go. */
  #ended(): void {
    const pauseMs = this.#pause.afterEnd(this.#stood?.wasUsed === true, this.#clock.now());
    // Not within the change, of which others still have to hear.
    if (pauseMs === 0) process.nextTick(() => this.#reconnect());
    else this.#pauseTimer = this.#clock.schedule(() => this.#reconnect(), pauseMs);
  }

  #reconnect(): void {
    this.#pauseTimer = undefined;
    if (!this.#isOver) this.#leaf.exitIdle();
  }
}

/** Of one address there is one answer. */
function subchannelOf(picker: experimental.Picker): experimental.SubchannelInterface | undefined {
  return picker.pick({ metadata: noMetadata, extraPickInfo: {} }).subchannel ?? undefined;
}
