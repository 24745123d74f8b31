/**
 * What one more call on a node is expected to cost: the number by which least cost compares nodes.
 *
 *     cost = (inflight / weight + 1)^2 * latencyMs * (1 + 10 * failureRate)
 *
 * Load counts squared, so that a queue is left before latency shows it; a failing node is dear, however fast it
 * fails. The formula comes out of our own simulation of clients and replicas (algorithms.md, "least cost").
 *
 * A client knows its own calls only. Where a node's answers say how many calls it has in flight from all its callers,
 * one of the two factors of the load is made of that number.
 */
import type { Node } from "../core/node.ts";

/** What a failure rate of 1 multiplies the cost by, less 1 (algorithms.md, "least cost"). */
const failurePenalty = 10;

/** A node's cost, factor by factor. */
export interface CostFactors {
  /** (inflight / weight + 1)^2, or (reportedInflight / weight + 1) * (inflight / weight + 1): 1 for an idle node. */
  readonly load: number;
  /** What it is likely to have in flight from all its callers, if it reports that; never less than our own calls. */
  readonly reportedInflight?: number;
  /** The expected time to the final headers. */
  readonly latencyMs: number;
  /** 1 for a node that never fails, 11 for one that always does. */
  readonly failures: number;
  /** The product of load, latency and failures. */
  readonly cost: number;
}

/** The cost of one more call on this node. */
export function cost(node: Node): number {
  return load(node) * node.latencyMs * failures(node);
}

/** The same cost with what it is made of, for people to read. */
export function costFactors(node: Node): CostFactors {
  const factors = {
    load: load(node),
    latencyMs: node.latencyMs,
    failures: failures(node),
    cost: cost(node),
  };
  return reports(node) ? { ...factors, reportedInflight: busy(node) } : factors;
}

function load(node: Node): number {
  const own = node.inflight / node.weight + 1;
  return reports(node) ? (busy(node) / node.weight + 1) * own : own * own;
}

function reports(node: Node): boolean {
  return node.report?.inflight !== undefined;
}

/** The report is of a moment that has passed; our own calls we know. */
function busy(node: Node): number {
  return Math.max(node.inflight, node.reportedInflight);
}

function failures(node: Node): number {
  return 1 + failurePenalty * node.failureRate;
}
