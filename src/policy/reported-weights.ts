/**
 * Weights out of load reports: how many calls per second a node would answer if it were busy all the time.
 *
 *     weight = rps / (utilization + eps / rps * errorUtilizationPenalty)
 *
 * As gRPC's weighted_round_robin has it (gRFC A58), with its constants. A node without a weight of its own gets the mean
 * of those that have one; with fewer than two of them all keep their configured weights. What a node warms up to
 * counts as ever.
 */
import { type Node, reportGapMs } from "../core/node.ts";

/** How long a node must have reported before it is believed: its first figures are of a start (A58: blackout_period). */
const blackoutMs = 10_000;
/** After how long a report says nothing any more (A58: weight_expiration_period). */
const expiryMs = reportGapMs;
/** How often weights are worked out anew (A58: weight_update_period). */
const updateMs = 1_000;
/** What a share of errors adds to the utilization (A58: error_utilization_penalty). */
const errorPenalty = 1;
/** The fewest weights that say anything of the others. */
const fewest = 2;

/** The weights of one set of nodes. */
export class ReportedWeights {
  readonly #nodes: readonly Node[];
  readonly #weights: Float64Array;
  #updatedAt = Number.NEGATIVE_INFINITY;
  #areKnown = false;

  constructor(nodes: readonly Node[]) {
    this.#nodes = nodes;
    this.#weights = new Float64Array(nodes.length);
  }

  /** By the nodes' order; undefined while the configured weights count. */
  get current(): Float64Array | undefined {
    const asOf = this.#nodes[0]?.asOf ?? 0;
    if (asOf >= this.#updatedAt + updateMs) this.#update(asOf);
    return this.#areKnown ? this.#weights : undefined;
  }

  #update(now: number): void {
    this.#updatedAt = now;
    let sum = 0;
    let known = 0;
    for (const [index, node] of this.#nodes.entries()) {
      const weight = reportedWeight(node, now);
      this.#weights[index] = weight;
      sum += weight;
      if (weight > 0) known++;
    }
    this.#areKnown = known >= fewest;
    if (!this.#areKnown) return;
    const mean = sum / known;
    for (const [index, node] of this.#nodes.entries()) {
      const weight = this.#weights[index] as number;
      this.#weights[index] = (weight > 0 ? weight : mean) * (node.weight / node.endpoint.weight);
    }
  }
}

/** A node's weight by its own report; 0 while it has none. */
export function reportedWeight({ report, reportedAt, reportingSince }: Node, now: number): number {
  if (report === undefined || now - reportedAt >= expiryMs || now - reportingSince < blackoutMs) return 0;
  const { rps = 0, eps = 0, applicationUtilization = 0, cpuUtilization = 0 } = report;
  const utilization = applicationUtilization > 0 ? applicationUtilization : cpuUtilization;
  if (rps <= 0 || utilization <= 0) return 0;
  return rps / (utilization + (eps / rps) * errorPenalty);
}
