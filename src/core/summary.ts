/**
 * What a service looks like in a log or a debugger: its name, its policy, how many nodes are in which state, and
 * each node in one line.
 *
 * Nothing else is shown. What is behind it is large, changes from version to version, and holds the TLS key.
 */
import { inspect } from "node:util";
import type { NodeState, NodeView } from "./view.ts";

/** Plain data, as `toJSON()` gives it. */
export interface Summary {
  readonly name: string;
  readonly policy: string;
  readonly discovery: "fresh" | "stale" | "never";
  /** Every node is out, and calls go out anyway. */
  readonly failingOpen: boolean;
  readonly closed: boolean;
  /** How many nodes are in each state that some node is in. */
  readonly states: Readonly<Partial<Record<NodeState, number>>>;
  readonly nodes: readonly NodeView[];
}

/** The part of `util.inspect`'s options that matters here. */
export interface InspectOptions {
  /** How many nodes are shown; null for all. Default 100, as Node's. */
  readonly maxArrayLength?: number | null | undefined;
}

/**
 * Gives objects their text for `util.inspect` and `console.log`, in place of their fields. Called in a static block:
 * `isolatedDeclarations` allows a class no method whose name is a symbol of Node's.
 *
 * @param target a class's prototype, or one object.
 * @param describe is given the object, how deep to go (below 0: a line at most), and the options of `inspect`.
 */
export function inspectBy<Target extends object>(
  target: Target,
  describe: (self: Target, depth: number, options: InspectOptions) => string,
): void {
  Object.defineProperty(target, inspect.custom, {
    value(this: Target, depth: number, options: InspectOptions) {
      return describe(this, depth, options);
    },
  });
}

/** Says of each field only whether it is given, wherever the object is printed or made into JSON. */
export function showNamesOnly(secrets: object): void {
  const names = () => {
    const given = Object.entries(secrets).filter(([, value]) => value !== undefined);
    return Object.fromEntries(given.map(([name]) => [name, "(not shown)"]));
  };
  Object.defineProperty(secrets, "toJSON", { value: names });
  inspectBy(secrets, () => inspect(names()));
}

export function countStates(nodes: readonly NodeView[]): Summary["states"] {
  const counts: Partial<Record<NodeState, number>> = {};
  for (const { state } of nodes) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

/**
 * @param kind the name of the class.
 * @param depth as `util.inspect` gives it; below 0 there is room for a line only.
 * @param wallNow in milliseconds since 1970.
 */
export function describeSummary(
  kind: string,
  summary: Summary,
  depth: number,
  options: InspectOptions,
  wallNow: number,
): string {
  const { name, policy, nodes, states } = summary;
  const count = nodes.length === 1 ? "1 node" : `${nodes.length} nodes`;
  const parts = Object.entries(states).map(([state, number]) => `${number} ${state}`);
  const head = `${kind} ${name}: ${policy}, ${count}${parts.length > 0 ? ` (${parts.join(", ")})` : ""}`;
  const notes = [
    ...(summary.discovery === "fresh" ? [] : [`discovery ${noteOf[summary.discovery]}`]),
    ...(summary.failingOpen ? ["every node is out; calls go out anyway"] : []),
    ...(summary.closed ? ["closed"] : []),
  ];
  const line = [head, ...notes].join("; ");
  if (depth < 0) return `[${line}]`;
  const shown = nodes.slice(0, options.maxArrayLength ?? Number.POSITIVE_INFINITY);
  const width = shown.reduce((most, { address }) => Math.max(most, address.length), 0);
  const more = nodes.length - shown.length;
  return [
    line,
    ...shown.map((node) => `  ${describeNode(node, wallNow, width)}`),
    ...(more > 0 ? [`  ... ${more} more ${more === 1 ? "node" : "nodes"}`] : []),
  ].join("\n");
}

const noteOf = { never: "has named no node yet", stale: "is stale" } as const;

/** The longest state, so that what follows stands in columns. */
const stateWidth = "draining".length;

function describeNode(node: NodeView, wallNow: number, width: number): string {
  const { state, weight, zone, priority, inflight, latencyMs, calls, failures, reason, until } = node;
  const leftMs = until === undefined ? undefined : Math.max(0, until - wallNow);
  const details = [
    `${inflight} in flight`,
    `${latencyMs.toFixed(1)} ms`,
    calls === 1 ? "1 call" : `${calls} calls`,
    ...(failures > 0 ? [`${failures} failed`] : []),
    ...(weight === 1 ? [] : [`weight ${weight}`]),
    ...(zone === undefined ? [] : [`zone ${zone}`]),
    ...(priority === 0 ? [] : [`priority ${priority}`]),
    ...(reason === "" ? [] : [reason]),
    ...(leftMs === undefined ? [] : [`for another ${(leftMs / 1_000).toFixed(1)} s`]),
  ];
  return `${node.address.padEnd(width)}  ${state.padEnd(stateWidth)}  ${details.join(", ")}`;
}
