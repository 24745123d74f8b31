/**
 * Applies a snapshot of discovery to the nodes: by key, keeping the state of every node that stays.
 *
 * The set is never cleared and refilled. A node that comes back while its last calls still finish is the same
 * node, connections and all.
 */
import type { CheckedEndpoint } from "../core/endpoint.ts";
import type { Node } from "../core/node.ts";

export interface Changes {
  readonly added: readonly Node[];
  readonly changed: readonly Node[];
  readonly removed: readonly Node[];
}

/**
 * Brings `nodes` in line with the snapshot. Nodes that left stay in the map, marked as removed, for whoever calls
 * to let go of when their last call has ended.
 *
 * @param create makes the node for an endpoint that is new.
 */
export function applySnapshot(
  nodes: Map<string, Node>,
  endpoints: readonly CheckedEndpoint[],
  suspects: ReadonlySet<string>,
  create: (endpoint: CheckedEndpoint) => Node,
  now: number,
): Changes {
  const added: Node[] = [];
  const changed: Node[] = [];
  const removed: Node[] = [];
  const present = new Set<Node>();
  for (const endpoint of endpoints) {
    const key = endpoint.address.text;
    let node = nodes.get(key);
    if (node === undefined) {
      node = create(endpoint);
      nodes.set(key, node);
      added.push(node);
    } else if (node.removedAt !== undefined) {
      node.removedAt = undefined;
      added.push(node);
    } else if (node.endpoint !== endpoint || node.suspect !== suspects.has(key)) {
      changed.push(node);
    }
    node.endpoint = endpoint;
    node.suspect = suspects.has(key);
    present.add(node);
  }
  if (present.size < nodes.size) {
    for (const node of nodes.values()) {
      if (node.removedAt !== undefined || present.has(node)) continue;
      node.removedAt = now;
      removed.push(node);
    }
  }
  return { added, changed, removed };
}
