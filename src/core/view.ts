/** A node as people and programs see it: a snapshot in plain data. */
import type { CheckVerdict, Health, Node } from "./node.ts";

/** In order of precedence: a node that is drained and down shows as `draining`. */
export type NodeState = "draining" | "down" | "ejected" | "probing" | "warming" | "suspect" | "ready";

export interface NodeView {
  readonly address: string;
  /** The configured weight. */
  readonly weight: number;
  readonly zone: string | undefined;
  readonly priority: number;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly state: NodeState;
  /** Why it is in this state; empty when ready. */
  readonly reason: string;
  /** When this state ends by itself, in milliseconds since 1970; undefined when it does not. */
  readonly until: number | undefined;
  readonly inflight: number;
  /** Expected time to the final headers. */
  readonly latencyMs: number;
  /** From 0 to 1, recent attempts counting most. */
  readonly failureRate: number;
  /** Attempts that ended as success or failure, since the node is known. */
  readonly calls: number;
  readonly failures: number;
  /** When discovery first named it, in milliseconds since 1970. */
  readonly since: number;
}

/** A node's state and why it is in it. `until` is on the cluster's clock. */
export interface StateReason {
  readonly state: NodeState;
  readonly reason: string;
  readonly until: number | undefined;
}

export function stateOf(node: Node, now: number): StateReason {
  const drainCause = node.drainCause;
  if (drainCause !== undefined) return { state: "draining", reason: drainCause, until: undefined };
  const { health, check } = node;
  if (check.kind === "failing")
    return { state: "down", reason: failingReason(check, health), until: undefined };
  if (health.kind === "out") return { state: health.state, reason: outReason(node), until: health.until };
  if (health.kind === "probing") return { state: "probing", reason: outReason(node), until: undefined };
  if (node.warmUntil > now) return { state: "warming", reason: node.warmUpReason, until: node.warmUntil };
  if (node.suspect)
    return { state: "suspect", reason: "gone from discovery in a large removal", until: undefined };
  return { state: "ready", reason: "", until: undefined };
}

/** The check comes first: until it passes there is no trial call, which would be the way back for the rest. */
function failingReason({ detail }: CheckVerdict & { kind: "failing" }, health: Health): string {
  const reason = `check failed: ${detail}`;
  if (health.kind === "in") return reason;
  const state = health.kind === "out" ? health.state : health.from;
  return `${reason}; ${state} as well: ${health.reason}`;
}

function outReason({ health, check }: Node): string {
  const reason = health.kind === "in" ? "" : health.reason;
  return check.kind === "passing" ? `${reason}; its check passes` : reason;
}

/** `wallOffsetMs` is the wall clock minus the cluster's clock. */
export function viewOf(node: Node, now: number, wallOffsetMs: number): NodeView {
  const { state, reason, until } = stateOf(node, now);
  const { endpoint } = node;
  return {
    address: node.key,
    weight: endpoint.weight,
    zone: endpoint.zone,
    priority: endpoint.priority,
    metadata: endpoint.metadata,
    state,
    reason,
    until: until === undefined ? undefined : until + wallOffsetMs,
    inflight: node.inflight,
    latencyMs: node.latencyMs,
    failureRate: node.failureRate,
    calls: node.calls,
    failures: node.failures,
    since: node.since + wallOffsetMs,
  };
}
