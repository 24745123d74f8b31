/**
 * The round_robin of grpc-js, for comparison: as it comes, or with all that grpc-js offers against faults, which is a
 * retryPolicy and keepalive.
 */
import { credentials, experimental } from "@grpc/grpc-js";
import { attempts, backoffMs } from "../../../bench/faults/plan.ts";
import type { ListDiscovery } from "../../../src/index.ts";
import { connected, OrdersClient } from "./clients.ts";

const { statusOrFromValue } = experimental;
const roundRobin = { loadBalancingConfig: [{ round_robin: {} }] };

/** Of all methods. */
function methodConfig(retryableStatusCodes: readonly string[]): object {
  const retryPolicy = {
    maxAttempts: attempts,
    initialBackoff: `${backoffMs / 1_000}s`,
    maxBackoff: "0.25s",
    backoffMultiplier: 2,
    retryableStatusCodes,
  };
  return { name: [{}], retryPolicy };
}

export interface RoundRobinOptions {
  /** With a retryPolicy and keepalive. Default false. */
  readonly hardened?: boolean;
  /** The statuses of that retryPolicy. Default UNAVAILABLE. */
  readonly retryOn?: readonly string[];
}

/** @param nodes a list that changes is followed at once, as ours follows it. */
export async function openRoundRobin(
  nodes: readonly string[] | ListDiscovery,
  { hardened = false, retryOn = ["UNAVAILABLE"] }: RoundRobinOptions = {},
): Promise<OrdersClient> {
  const target = "subscribe" in nodes ? followed(nodes) : `ipv4:${nodes.join(",")}`;
  const config = hardened ? { ...roundRobin, methodConfig: [methodConfig(retryOn)] } : roundRobin;
  const client = new OrdersClient(target, credentials.createInsecure(), {
    // It shares no connection with any other.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config": JSON.stringify(config),
    ...(hardened ? { "grpc.keepalive_time_ms": 1_000, "grpc.keepalive_timeout_ms": 500 } : {}),
  });
  await connected(client);
  return client;
}

const scheme = "followed";
const lists: ListDiscovery[] = [];

/** @returns a target that stands for the list. */
function followed(nodes: ListDiscovery): string {
  if (lists.length === 0) experimental.registerResolver(scheme, ListResolver);
  return `${scheme}:///${lists.push(nodes) - 1}`;
}

/** Hands a list on to a channel, whenever it changes. */
class ListResolver implements experimental.Resolver {
  readonly #nodes: ListDiscovery | undefined;
  readonly #listener: experimental.ResolverListener;
  #unsubscribe: (() => void) | undefined = undefined;

  constructor({ path }: experimental.GrpcUri, listener: experimental.ResolverListener) {
    this.#nodes = lists[Number(path)];
    this.#listener = listener;
  }

  static getDefaultAuthority({ path }: experimental.GrpcUri): string {
    return path;
  }

  updateResolution(): void {
    if (this.#unsubscribe !== undefined) return;
    this.#unsubscribe = () => {};
    // Not within this call: grpc-js must not be called back from it.
    process.nextTick(() => {
      if (this.#unsubscribe === undefined || this.#nodes === undefined) return;
      this.#unsubscribe = this.#nodes.subscribe((endpoints) => {
        const addresses = endpoints.map(({ address }) => ({ addresses: [socketAddressOf(address)] }));
        this.#listener(statusOrFromValue(addresses), {}, null, "");
      });
    });
  }

  destroy(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}

/** Of `127.0.0.1:50051`. */
function socketAddressOf(address: string): { readonly host: string; readonly port: number } {
  const [host = "", port] = address.split(":");
  return { host, port: Number(port) };
}
