/** How the nodes of a cluster stand, all together: which are wanted, which of these are fit, and which are out. */
import type { Node } from "../core/node.ts";
import { type NodeState, stateOf } from "../core/view.ts";
import { isTriable } from "./trials.ts";

export interface Standing {
  /** Nodes that discovery and the program want called, fit or not. */
  readonly eligible: readonly Node[];
  /** Of these, the fit ones. */
  readonly inService: readonly Node[];
  /** Out by the outcomes of calls, whatever their check says. */
  readonly out: readonly Node[];
  /** Of these, the ones that wait for a trial call. */
  readonly trials: readonly Node[];
  /** No node is fit, but for those that are only spared as too many others are out. */
  readonly isAllOut: boolean;
}

export function standingOf(nodes: Iterable<Node>): Standing {
  const eligible: Node[] = [];
  const inService: Node[] = [];
  const out: Node[] = [];
  const trials: Node[] = [];
  let spared = 0;
  for (const node of nodes) {
    if (node.drainCause !== undefined) continue;
    eligible.push(node);
    if (node.isFit) {
      inService.push(node);
      if (node.spared) spared++;
    }
    if (node.health.kind === "in") continue;
    out.push(node);
    if (isTriable(node)) trials.push(node);
  }
  const isAllOut = eligible.length > 0 && spared === inService.length;
  return { eligible, inService, out, trials, isAllOut };
}

export function countEjected(out: readonly Node[]): number {
  let ejected = 0;
  for (const { health } of out) {
    if (health.kind === "out" && health.state === "ejected") ejected++;
    else if (health.kind === "probing" && health.from === "ejected") ejected++;
  }
  return ejected;
}

/** In a few words, for an error that says why none could be called. */
export function describeNodes(nodes: ReadonlyMap<string, Node>, now: number): string {
  if (nodes.size === 0) return "discovery names no node";
  const counts = new Map<NodeState, number>();
  for (const node of nodes.values()) {
    const { state } = stateOf(node, now);
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  const listed = Array.from(counts, ([state, count]) => `${count} ${state}`).join(", ");
  return `none of ${nodes.size} nodes may be called (${listed})`;
}
