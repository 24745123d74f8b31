/**
 * Which nodes a channel keeps connections to: all of them, up to a limit.
 *
 * A client of a large service that connects to every node costs each node a connection for each client. A policy that
 * uses a subset says which; `connections.total` bounds the others.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Node } from "../core/node.ts";
import { chooseSubset } from "../policy/subset.ts";
import { GrpcCheck } from "./grpc-check.ts";
import type { NodeEndpoint } from "./grpc-service.ts";

/** @param present the nodes that it has connections to, or is making them to. */
export function nodesToConnect(
  endpoints: readonly NodeEndpoint[],
  cluster: Cluster,
  present: Iterable<Node>,
): readonly NodeEndpoint[] {
  const { nodeSet } = cluster;
  const { policy, connections, check } = cluster.options;
  const isBounded = policy.candidates !== undefined || endpoints.length > connections.total;
  if (!isBounded) return endpoints;
  const named = endpoints.map(({ node }) => node);
  const known = new Set(named);
  const fit = nodeSet.callable.filter((node) => known.has(node));
  const wanted = new Set<Node>();
  // Those that it would use, and those in the place of the ones that are out.
  for (const nodes of [named, fit]) {
    for (const tier of byPriority(nodes)) {
      const candidates = nodeSet.policy.candidates(tier);
      for (const node of chooseSubset(candidates, connections.total)) wanted.add(node);
    }
  }
  if (check instanceof GrpcCheck) keepWatched(wanted, present);
  return endpoints.filter(({ node }) => wanted.has(node));
}

/**
 * Keeps as many again that are out by their check: it goes over their connections, and without these nobody would hear that
 * they are well.
 */
function keepWatched(wanted: Set<Node>, present: Iterable<Node>): void {
  const most = 2 * wanted.size;
  for (const node of present) {
    if (wanted.size === most) return;
    if (node.check.kind === "failing") wanted.add(node);
  }
}

/** A policy is asked for each tier by itself. */
function byPriority(nodes: readonly Node[]): readonly (readonly Node[])[] {
  const tiers = new Map<number, Node[]>();
  for (const node of nodes) {
    const tier = tiers.get(node.endpoint.priority);
    if (tier === undefined) tiers.set(node.endpoint.priority, [node]);
    else tier.push(node);
  }
  return [...tiers.values()];
}
