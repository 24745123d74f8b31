/** What a service's options mean for connections, in grpc-js' words. */
import type { ChannelOptions } from "@grpc/grpc-js";
import type { ResolvedOptions } from "../cluster/options.ts";

/**
 * The first pause after a failed connection, and the longest. grpc-js' own are 1 s and 120 s: a node that restarts
 * within a second would be left out for one, and one that was gone for an hour for two minutes more. The longest is that of
 * trials of nodes that are down.
 */
const reconnectMs = 100;
const longestReconnectMs = 5_000;

/** For each connection, unless the channel was given others. */
export function connectionDefaults({ connections, tls }: ResolvedOptions): ChannelOptions {
  const { pingMs, pingTimeoutMs } = connections;
  return {
    "grpc.initial_reconnect_backoff_ms": reconnectMs,
    "grpc.max_reconnect_backoff_ms": longestReconnectMs,
    // Only while calls are in flight: servers take more for an attack.
    ...(pingMs > 0 ? { "grpc.keepalive_time_ms": pingMs, "grpc.keepalive_timeout_ms": pingTimeoutMs } : {}),
    ...(tls.servername === undefined ? {} : { "grpc.ssl_target_name_override": tls.servername }),
  };
}
