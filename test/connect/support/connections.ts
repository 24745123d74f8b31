/** What a balancer's own counts say of the connections to its first node. */
import type { ConnectBalancer } from "../../../src/connect/index.ts";
import type { ConnectionCounts } from "../../../src/core/observation.ts";

export function connectionsOf({ cluster }: ConnectBalancer, index = 0): ConnectionCounts | undefined {
  const [count] = cluster.connectionCounters;
  const node = [...cluster.nodeSet.nodes.values()][index];
  return node === undefined ? undefined : count?.(node);
}
