/** What a cluster tells those who collect figures: its nodes, its connections, and how discovery stands. */
import { addConnections, type ConnectionCounts, type ServiceObservation } from "../core/observation.ts";
import type { Cluster } from "./cluster.ts";

/**
 * @param createdAt when the cluster was made, on its clock.
 * @param wallOffsetMs from its clock to wall time.
 */
export function observe(cluster: Cluster, createdAt: number, wallOffsetMs: number): ServiceObservation {
  const { name, nodes, failingOpen, discoveryState: discovery } = cluster;
  const now = cluster.clock.now();
  const since = discovery.state === "never" ? createdAt : (discovery.staleSince ?? now) - wallOffsetMs;
  const connections = new Map<string, ConnectionCounts>();
  for (const count of cluster.connectionCounters) {
    for (const node of cluster.nodeSet.nodes.values()) {
      const counts = count(node);
      if (counts !== undefined) connections.set(node.key, addConnections(connections.get(node.key), counts));
    }
  }
  return {
    service: name,
    nodes,
    failingOpen,
    discovery,
    discoveryAgeMs: discovery.state === "fresh" ? 0 : Math.max(0, now - since),
    connections,
  };
}
