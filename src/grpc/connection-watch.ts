/**
 * Watches one connection of grpc-js (a subchannel) for as long as it lives, whichever channels share it: gives up what
 * does not connect in time, and tells the cluster whether its node can be reached.
 */
import { connectivityState, type experimental } from "@grpc/grpc-js";
import type { Cluster } from "../cluster/cluster.ts";
import { outcomeOfCode } from "../core/classify.ts";
import type { Timer } from "../core/clock.ts";
import { failure, type Outcome } from "../core/outcome.ts";
import type { Dial } from "./dial.ts";

const { CONNECTING, IDLE, READY, TRANSIENT_FAILURE } = connectivityState;
/** What grpc-go's servers allow unless they are told otherwise (keepalive.EnforcementPolicy, MinTime). */
const strictestPingMs = 300_000;
type Subchannel = ReturnType<experimental.SubchannelInterface["getRealSubchannel"]>;

/** Each connection is watched once, however many leaves use it. */
const watched: WeakSet<Subchannel> = new WeakSet();

/** @param key the node's address; a node may leave and come back while the connection stays. */
export function watchConnection(cluster: Cluster, key: string, subchannel: Subchannel, dial: Dial): void {
  if (watched.has(subchannel)) return;
  watched.add(subchannel);
  const watch = new ConnectionWatch(cluster, key, subchannel, dial);
  subchannel.addConnectivityStateListener((_subchannel, _from, to, _keepalive, message) =>
    watch.changed(to, message),
  );
}

class ConnectionWatch {
  readonly #cluster: Cluster;
  readonly #key: string;
  readonly #subchannel: Subchannel;
  readonly #dial: Dial;
  readonly #pingMs: number;
  #timer: Timer | undefined = undefined;
  #timedOut = false;
  #begunAt = 0;
  /** Of this process's own event loop, when it began. */
  #blockedBeforeMs = 0;

  constructor(cluster: Cluster, key: string, subchannel: Subchannel, dial: Dial) {
    this.#cluster = cluster;
    this.#key = key;
    this.#subchannel = subchannel;
    this.#dial = dial;
    this.#pingMs = pingMsOf(subchannel);
  }

  changed(state: connectivityState, message: string | undefined): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { clock, nodeSet } = this.#cluster;
    const node = nodeSet.nodes.get(this.#key);
    if (state === CONNECTING) {
      this.#begin();
    } else if (state === READY) {
      this.#dial.connected();
      if (node !== undefined) nodeSet.reached(node, clock.now());
    } else if (state === IDLE) {
      process.nextTick(() => this.#calm());
    } else if (state === TRANSIENT_FAILURE && node !== undefined) {
      nodeSet.unreached(node, this.#outcome(message ?? ""), clock.now());
    }
  }

  #begin(): void {
    const { clock, lag, options } = this.#cluster;
    const now = clock.now();
    lag.start(now);
    this.#begunAt = now;
    this.#blockedBeforeMs = lag.blockedMs(now);
    this.#timedOut = false;
    this.#dial.begin();
    this.#timer = clock.schedule(() => this.#expire(), options.timeouts.connectMs);
  }

  #expire(): void {
    if (this.#subchannel.getConnectivityState() !== CONNECTING) return;
    const { clock, lag, options } = this.#cluster;
    const { connectMs } = options.timeouts;
    const now = clock.now();
    // While this process was blocked it could not have seen the connection made; the node gets that time back.
    const elapsedMs = now - this.#begunAt - (lag.blockedMs(now) - this.#blockedBeforeMs);
    if (elapsedMs < connectMs - 1) {
      this.#timer = clock.schedule(() => this.#expire(), Math.max(1, connectMs - elapsedMs));
      return;
    }
    this.#timedOut = true;
    this.#dial.giveUp(new Error(`${this.#key} gave no connection within ${connectMs} ms`));
  }

  /**
   * A server that takes our pings for too many ends the connection (GOAWAY, ENHANCE_YOUR_CALM), and grpc-js then pings
   * half as often. From 1 s on that would be nine connections before grpc-go is content, so it is one step here.
   */
  #calm(): void {
    const now = pingMsOf(this.#subchannel);
    if (this.#pingMs > 0 && now > this.#pingMs) this.#subchannel.throttleKeepalive(strictestPingMs);
  }

  #outcome(message: string): Outcome {
    if (this.#timedOut) return failure("connect", "connect timeout");
    // grpc-js passes errors on as text: "Error: connect ECONNREFUSED 127.0.0.1:8080".
    const [code = ""] = /\bE[A-Z_]{4,}\b/.exec(message) ?? [];
    const outcome = outcomeOfCode(code);
    if (outcome === undefined) return failure("connect", message.slice(0, 200));
    const isPlain =
      outcome.kind !== "failure" || outcome.reason === "refused" || outcome.reason === "unreachable";
    return isPlain ? outcome : failure("connect", code);
  }
}

/** grpc-js tells it to those who ask for nothing else only when a connection changes, and then as it was before. */
function pingMsOf(subchannel: Subchannel): number {
  const { keepaliveTime = 0 } = subchannel as unknown as { readonly keepaliveTime?: number };
  return keepaliveTime;
}
