/** Why calls go where they go, as data and as a table for people. */
import type { CallInfo } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { inspectBy } from "../core/summary.ts";
import { type NodeState, stateOf } from "../core/view.ts";
import { type CostFactors, costFactors } from "../policy/cost.ts";
import { isExplainable } from "../policy/shares.ts";
import type { NodeSet } from "./node-set.ts";

/** The call to explain for. Left out: a GET of `/`. */
export interface ExplainedCall {
  readonly method?: string;
  readonly path?: string;
  readonly hashKey?: string;
}

export interface ExplainedNode {
  readonly address: string;
  readonly state: NodeState;
  /** Why it is in this state; empty when ready. */
  readonly reason: string;
  /** When that ends by itself, in milliseconds since 1970. */
  readonly until: number | undefined;
  /** The weight that counts now, less than the configured one while it warms up. */
  readonly weight: number;
  readonly inflight: number;
  /** What one more call on it is expected to cost, by factor; `leastCost` compares these. */
  readonly cost: CostFactors;
  /** How likely it is picked for the call, from 0 to 1; undefined if the policy cannot tell. */
  readonly probability: number | undefined;
}

export interface Explanation {
  readonly service: string;
  readonly policy: string;
  readonly failingOpen: boolean;
  /** The next call that may be retried goes to this node, to see whether it is back. */
  readonly nextTrial: string | undefined;
  readonly nodes: readonly ExplainedNode[];
  /** The same as a table. */
  toString(): string;
}

export function explain(
  service: string,
  policy: string,
  set: NodeSet,
  call: ExplainedCall,
  now: number,
  wallOffsetMs: number,
): Explanation {
  const info: CallInfo = {
    method: call.method ?? "GET",
    path: call.path ?? "/",
    hashKey: call.hashKey,
    header: () => undefined,
    tried: [],
  };
  const { picker } = set;
  const shares = picker !== undefined && isExplainable(picker) ? picker.shares(info) : undefined;
  const callable = new Set(set.callable);
  const nodes = Array.from(set.nodes.values(), (node): ExplainedNode => {
    const { state, reason, until } = stateOf(node, now);
    return {
      address: node.key,
      state,
      reason,
      until: until === undefined ? undefined : until + wallOffsetMs,
      weight: node.weight,
      inflight: node.inflight,
      cost: costOf(node),
      probability: probabilityOf(node, callable, shares),
    };
  });
  const explanation = {
    service,
    policy,
    failingOpen: set.failingOpen,
    nextTrial: set.trials[0]?.key,
    nodes,
  };
  const text = () => table(explanation, now + wallOffsetMs);
  // Beside the data, not in it: neither JSON nor a comparison meets them.
  Object.defineProperty(explanation, "toString", { value: text });
  inspectBy(explanation, text);
  return explanation;
}

/** Without weight a node carries nothing, at any cost; the formula would divide 0 by 0. */
function costOf(node: Node): CostFactors {
  const factors = costFactors(node);
  const none = Number.POSITIVE_INFINITY;
  return node.weight > 0 ? factors : { ...factors, load: none, cost: none };
}

function probabilityOf(
  node: Node,
  callable: ReadonlySet<Node>,
  shares: ReadonlyMap<Node, number> | undefined,
): number | undefined {
  if (!callable.has(node)) return 0;
  return shares === undefined ? undefined : (shares.get(node) ?? 0);
}

type Plain = Omit<Explanation, "toString">;

function table(explanation: Plain, wallNow: number): string {
  const { service, policy, failingOpen, nextTrial, nodes } = explanation;
  const notes = [
    ...(failingOpen ? ["every node is out; calls go out anyway"] : []),
    ...(nextTrial === undefined ? [] : [`the next call that may be retried tries ${nextTrial}`]),
  ];
  const rows = nodes.map((node) => [
    node.address,
    node.state,
    node.probability === undefined ? "?" : `${(100 * node.probability).toFixed(1)}%`,
    node.cost.cost.toPrecision(3),
    node.cost.load.toFixed(2),
    node.cost.latencyMs.toFixed(2),
    node.cost.failures.toFixed(2),
    String(Number(node.weight.toFixed(3))),
    inflightOf(node),
    why(node, wallNow),
  ]);
  const head = [
    "node",
    "state",
    "picked",
    "cost",
    "= load",
    "x ms",
    "x failures",
    "weight",
    "in flight",
    "why",
  ];
  return [`${service}: ${policy}`, ...notes, ...align([head, ...rows])].join("\n");
}

/** Our own calls, and of how many all told, if the node says so. */
function inflightOf({ inflight, cost }: ExplainedNode): string {
  const { reportedInflight } = cost;
  return reportedInflight === undefined ? String(inflight) : `${inflight} of ${Math.round(reportedInflight)}`;
}

function why(node: ExplainedNode, wallNow: number): string {
  const left =
    node.until === undefined ? "" : `for another ${Math.max(0, (node.until - wallNow) / 1_000).toFixed(1)} s`;
  return [node.reason, left].filter((part) => part !== "").join(", ");
}

/** Pads each column to its widest cell. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
