/**
 * Which part of the calls goes to which nodes, before a policy picks among them: fail-over tiers by `priority`, and
 * the caller's own zone first.
 *
 * Both give way in proportion, not all at once: a tier or a zone that loses capacity hands over what it can no longer
 * carry, and the rest stays. Formulas: Envoy's priority levels (overprovisioning factor 1.4) and its zone-aware
 * routing, with callers taken to be spread evenly over the zones (algorithms.md, 12).
 */
import type { Node } from "../core/node.ts";

/** Envoy's overprovisioning factor: a tier is whole as long as 1 / 1.4 = 71% of its capacity is there. */
const overprovision = 1.4;
/** A share below this is rounding. */
const negligible = 1e-9;

/** Nodes that a policy picks among, and their part of the calls. */
export interface Tier {
  /** Says which tier it is from one rebuild to the next, so that its picker can be taken over. */
  readonly key: string;
  readonly nodes: readonly Node[];
  /** The parts of all tiers add up to 1. */
  readonly share: number;
}

/**
 * Splits the calls. The tiers come in order of preference: priority, then the own zone before others.
 *
 * @param eligible nodes that discovery and the program want called.
 * @param callable those that calls go to; all of `eligible` while failing open.
 * @param zone the caller's own, or undefined for no preference.
 */
export function splitIntoTiers(
  eligible: readonly Node[],
  callable: readonly Node[],
  zone: string | undefined,
): readonly Tier[] {
  if (callable.length === 0) return [];
  const isFlat = zone === undefined && hasOnePriority(eligible);
  if (isFlat) return [{ key: "", nodes: callable, share: 1 }];
  const levels = splitByPriority(eligible, callable);
  return levels.flatMap(({ key, nodes, share }) => {
    if (zone === undefined) return [{ key, nodes, share }];
    return splitByZone(nodes, zone).map((part) => ({
      key: `${key}/${part.key}`,
      nodes: part.nodes,
      share: share * part.share,
    }));
  });
}

function hasOnePriority(nodes: readonly Node[]): boolean {
  const first = nodes[0]?.endpoint.priority;
  return nodes.every((node) => node.endpoint.priority === first);
}

/** health(P) = min(1, 1.4 * callable / total), load(P) = min(what is left, health(P) / sum of all health). */
function splitByPriority(eligible: readonly Node[], callable: readonly Node[]): Tier[] {
  const total = capacityBy(eligible, priorityOf);
  const nodesBy = Map.groupBy(callable, priorityOf);
  const levels = [...nodesBy.keys()].sort((left, right) => left - right);
  const health = levels.map((level) => {
    const nodes = nodesBy.get(level) ?? [];
    return Math.min(1, (overprovision * capacity(nodes)) / (total.get(level) ?? 1));
  });
  const sum = health.reduce((left, right) => left + right, 0);
  const scale = Math.max(1, 1 / sum);
  let left = 1;
  const tiers: Tier[] = [];
  for (const [index, level] of levels.entries()) {
    const share = Math.min(left, (health[index] as number) * scale);
    left -= share;
    // A level without a part stays listed: a call that has tried all of the others may still go there.
    tiers.push({
      key: String(level),
      nodes: nodesBy.get(level) ?? [],
      share: share < negligible ? 0 : share,
    });
  }
  return tiers;
}

/**
 * With capacity c_i of zone i (of a total of 1) and callers in Z zones, a zone's callers need 1 / Z. If the own zone
 * has that much, they stay in it; else it takes what it can, and the rest goes to the zones with more than they need,
 * in proportion to the surplus.
 */
function splitByZone(nodes: readonly Node[], zone: string): Tier[] {
  const zones = Map.groupBy(nodes, zoneOf);
  const local = zones.get(zone);
  if (local === undefined || zones.size === 1) return [{ key: "", nodes, share: 1 }];
  const total = capacity(nodes);
  const need = 1 / zones.size;
  const others = [...zones].filter(([name]) => name !== zone);
  const surplus = others.map(([, members]) => Math.max(0, capacity(members) / total - need));
  const allSurplus = surplus.reduce((left, right) => left + right, 0);
  // Without any surplus elsewhere all zones are equal, and the own one carries its callers.
  const localShare = allSurplus < negligible ? 1 : Math.min(1, capacity(local) / total / need);
  const remote = others.map(([name, members], index): Tier => {
    const share = allSurplus < negligible ? 0 : ((1 - localShare) * (surplus[index] as number)) / allSurplus;
    return { key: name ?? "", nodes: members, share: share < negligible ? 0 : share };
  });
  return [{ key: zone, nodes: local, share: localShare }, ...remote];
}

/** By the configured weight: a node that warms up has its capacity, it is only not there yet. */
function capacity(nodes: readonly Node[]): number {
  return nodes.reduce((sum, node) => sum + node.endpoint.weight, 0);
}

function capacityBy(nodes: readonly Node[], keyOf: (node: Node) => number): Map<number, number> {
  const sums = new Map<number, number>();
  for (const node of nodes) sums.set(keyOf(node), (sums.get(keyOf(node)) ?? 0) + node.endpoint.weight);
  return sums;
}

function priorityOf(node: Node): number {
  return node.endpoint.priority;
}

function zoneOf(node: Node): string | undefined {
  return node.endpoint.zone;
}
