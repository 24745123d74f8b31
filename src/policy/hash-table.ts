/** What the two hash tables, ring and Maglev, have in common: places in a circle, each of them some node's. */
import type { Node } from "../core/node.ts";

/** A table that is complete. A key's nodes, first to last choice, are those from its place on. */
export interface HashTable {
  /** The nodes that it was made for, and what each of them weighed, warm-up aside. */
  readonly nodes: readonly Node[];
  readonly weights: Float64Array;
  /** For each place the index of its node. */
  readonly owners: Uint32Array;
  /** The place of a hash of 32 bits. */
  locate(hash: number): number;
  /** The place that follows, for that hash. */
  next(place: number, hash: number): number;
}

/** How tables of one kind are made. */
export interface TableMaker {
  /** About how many steps a table for so many nodes takes; a step takes some 10 ns. */
  steps(nodes: number): number;
  start(nodes: readonly Node[]): TableBuild;
  /** Takes back the memory of a table that nobody reads any more. */
  recycle?(table: HashTable): void;
}

/** A table that is being made, a slice at a time. */
export interface TableBuild {
  /** Works for about this many steps; the table once it is complete. */
  advance(steps: number): HashTable | undefined;
}

/**
 * What each node weighs once it has warmed up: tables are for that, so that all clients have the same. Weights may all have
 * become 0 since a table was asked for: nothing is picked from it then, but it has to be possible to make.
 */
export function fullWeights(nodes: readonly Node[]): Float64Array {
  const weights = new Float64Array(nodes.length);
  let hasAny = false;
  for (const [index, node] of nodes.entries()) {
    const weight = fullWeight(node);
    weights[index] = weight;
    if (weight > 0) hasAny = true;
  }
  return hasAny ? weights : weights.fill(1);
}

/** Whether the table is for these very nodes, with the weights that they have now. */
export function isTableOf(table: HashTable, nodes: readonly Node[]): boolean {
  if (table.nodes.length !== nodes.length) return false;
  for (let index = 0; index < nodes.length; index++) {
    const node = nodes[index] as Node;
    if (table.nodes[index] !== node || table.weights[index] !== fullWeight(node)) return false;
  }
  return true;
}

function fullWeight(node: Node): number {
  return Math.max(node.weight, node.endpoint.weight);
}
