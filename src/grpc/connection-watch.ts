/**
 * Watches one connection of grpc-js (a subchannel) for as long as it lives, whichever channels share it: gives up what
 * does not connect in time, tells the cluster whether its node can be reached, and counts it.
 */
import { connectivityState, type experimental } from "@grpc/grpc-js";
import { outcomeOfCode } from "../core/classify.ts";
import type { Timer } from "../core/clock.ts";
import { failure, type Outcome } from "../core/outcome.ts";
import type { Dial } from "./dial.ts";
import type { GrpcConnection } from "./grpc-connections.ts";
import type { GrpcService } from "./grpc-service.ts";

const { CONNECTING, IDLE, READY, TRANSIENT_FAILURE } = connectivityState;
/** What grpc-go's servers allow unless they are told otherwise (keepalive.EnforcementPolicy, MinTime). */
const strictestPingMs = 300_000;
type Subchannel = ReturnType<experimental.SubchannelInterface["getRealSubchannel"]>;

/** What is needed of grpc-js' own connection behind a subchannel: not public, the same in all of 1.14, and held by tests. */
interface Transport {
  keepaliveTimeMs: number;
  clearKeepaliveTimeout(): void;
}

/** Each connection is watched once, however many leaves use it. */
const watched: WeakMap<Subchannel, ConnectionWatch> = new WeakMap();

/** @param key the node's address; a node may leave and come back while the connection stays. */
export function watchConnection(
  service: GrpcService,
  key: string,
  subchannel: Subchannel,
  dial: Dial,
): ConnectionWatch {
  const known = watched.get(subchannel);
  if (known !== undefined) return known;
  const watch = new ConnectionWatch(service, key, subchannel, dial);
  watched.set(subchannel, watch);
  subchannel.addConnectivityStateListener((_subchannel, from, to, _keepalive, message) =>
    watch.changed(from, to, message),
  );
  return watch;
}

export class ConnectionWatch {
  /** Undefined while there is none, and none is being made. */
  connection: GrpcConnection | undefined = undefined;
  readonly #service: GrpcService;
  readonly #key: string;
  readonly #subchannel: Subchannel;
  readonly #dial: Dial;
  readonly #pingMs: number;
  #transport: Transport | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #timedOut = false;
  #begunAt = 0;
  /** Of this process's own event loop, when it began. */
  #blockedBeforeMs = 0;

  constructor(service: GrpcService, key: string, subchannel: Subchannel, dial: Dial) {
    this.#service = service;
    this.#key = key;
    this.#subchannel = subchannel;
    this.#dial = dial;
    this.#pingMs = pingMsOf(subchannel);
  }

  changed(before: connectivityState, state: connectivityState, message: string | undefined): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { clock, nodeSet } = this.#service.cluster;
    const node = nodeSet.nodes.get(this.#key);
    this.#count(state);
    if (state === CONNECTING) {
      this.#begin();
    } else if (state === READY) {
      // It is told of before it has its transport.
      process.nextTick(() => {
        this.#transport = transportOf(this.#subchannel);
      });
      this.#dial.connected();
      if (node !== undefined) nodeSet.reached(node, clock.now());
    } else if (state === IDLE) {
      // Nobody wants it any more. grpc-js goes on all the same, and its socket keeps the process alive.
      if (before === CONNECTING) this.#dial.giveUp(new Error(`${this.#key} is not wanted any more`));
      this.#leave();
      process.nextTick(() => this.#calm());
    } else if (state === TRANSIENT_FAILURE && node !== undefined) {
      nodeSet.unreached(node, this.#outcome(message ?? ""), clock.now());
    }
  }

  #count(state: connectivityState): void {
    if (state === CONNECTING) {
      this.connection = this.#service.connections.add(this.#key);
    } else if (state === READY) {
      this.connection?.opened();
    } else {
      this.connection?.left();
      this.connection = undefined;
    }
  }

  #begin(): void {
    const { clock, lag, options } = this.#service.cluster;
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
    const { clock, lag, options } = this.#service.cluster;
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
   * After a GOAWAY Node sends no PING any more, which grpc-js takes for a dead peer at the next one: it would drop the calls
   * and streams that are to finish there.
   */
  #leave(): void {
    const transport = this.#transport;
    this.#transport = undefined;
    if (transport === undefined) return;
    transport.keepaliveTimeMs = -1;
    transport.clearKeepaliveTimeout();
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

function transportOf(subchannel: Subchannel): Transport | undefined {
  return (subchannel as unknown as { readonly transport?: Transport | null }).transport ?? undefined;
}

/** grpc-js tells it to those who ask for nothing else only when a connection changes, and then as it was before. */
function pingMsOf(subchannel: Subchannel): number {
  const { keepaliveTime = 0 } = subchannel as unknown as { readonly keepaliveTime?: number };
  return keepaliveTime;
}
