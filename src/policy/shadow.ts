/**
 * A policy on trial: for each call it is asked for a node as well, and its answer is counted and not followed.
 *
 * What it sees are the calls in flight, latencies and failures that the real policy brings about. So the report
 * says what it would do next in this place, and not how the nodes would fare if it were in charge.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import type { Outcome } from "../core/outcome.ts";
import { type ExplainablePicker, isExplainable } from "./shares.ts";

/** What one node got, and would have got. Shares are of all picks, from 0 to 1. */
export interface ShadowedNode {
  readonly address: string;
  readonly share: number;
  readonly shadowShare: number;
}

/** What the shadow would have done, up to now. */
export interface ShadowReport {
  readonly policy: string;
  readonly shadow: string;
  /** The picks of which both were asked. */
  readonly picks: number;
  /** Those in which the shadow named another node. */
  readonly differing: number;
  /** The nodes with the largest share first; without some of those that discovery has removed. */
  readonly nodes: readonly ShadowedNode[];
  /** What the shadow threw, if it did: it has not been asked since, and no call has failed for it. */
  readonly error: unknown;
  /** The same as a table. */
  toString(): string;
}

export interface ShadowedPolicy extends Policy {
  /** As of the moment it is read. */
  readonly report: ShadowReport;
}

/** Picks by `policy`, and asks `shadow` as well. For one cluster: the report does not tell clusters apart. */
export function withShadow(policy: Policy, shadow: Policy): ShadowedPolicy {
  const tally = new Tally();
  const trial = new Trial(shadow);
  return {
    name: policy.name,
    build(nodes, previous): Picker {
      const before = previous instanceof ShadowedPicker ? previous : undefined;
      tally.tidy();
      const real = policy.build(nodes, before === undefined ? previous : before.real);
      return new ShadowedPicker(real, trial.build(nodes, before?.shadow), trial, tally);
    },
    // Without it a transport would connect to all nodes; the shadow sends nothing.
    ...(policy.candidates && { candidates: policy.candidates.bind(policy) }),
    observe(node, latencyMs, outcome, now): void {
      policy.observe?.(node, latencyMs, outcome, now);
      trial.observe(node, latencyMs, outcome, now);
    },
    inner: policy,
    get report(): ShadowReport {
      return tally.report(policy.name, shadow.name, trial.error);
    },
  };
}

/** The shadow as far as it throws nothing: by that it has shown enough. */
class Trial {
  error: unknown = undefined;
  readonly #policy: Policy;
  #hasThrown = false;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  build(nodes: readonly Node[], previous: Picker | undefined): Picker | undefined {
    return this.#ask(() => this.#policy.build(nodes, previous));
  }

  pick(picker: Picker | undefined, call: CallInfo): Node | undefined {
    return picker && this.#ask(() => picker.pick(call));
  }

  observe(node: Node, latencyMs: number, outcome: Outcome, now: number): void {
    this.#ask(() => this.#policy.observe?.(node, latencyMs, outcome, now));
  }

  #ask<Answer>(question: () => Answer): Answer | undefined {
    if (this.#hasThrown) return undefined;
    try {
      return question();
    } catch (error) {
      this.#hasThrown = true;
      this.error = error;
      return undefined;
    }
  }
}

class ShadowedPicker implements Picker {
  readonly real: Picker;
  readonly shadow: Picker | undefined;
  readonly #trial: Trial;
  readonly #tally: Tally;
  /** Only if the real picker can explain itself. */
  readonly shares: ExplainablePicker["shares"] | undefined;

  constructor(real: Picker, shadow: Picker | undefined, trial: Trial, tally: Tally) {
    this.real = real;
    this.shadow = shadow;
    this.#trial = trial;
    this.#tally = tally;
    this.shares = isExplainable(real) ? (call) => real.shares(call) : undefined;
  }

  pick(call: CallInfo): Node | undefined {
    const node = this.real.pick(call);
    const other = this.#trial.pick(this.shadow, call);
    if (node !== undefined && other !== undefined) this.#tally.add(node, other);
    return node;
  }
}

class Counts {
  picked = 0;
  shadowPicked = 0;
}

class Tally {
  #picks = 0;
  #differing = 0;
  readonly #counts: Map<Node, Counts> = new Map();
  #mostCounts = 100;

  /** Lets nodes go that discovery removed, each time the counts have doubled: their number is bounded. */
  tidy(): void {
    if (this.#counts.size <= this.#mostCounts) return;
    for (const node of this.#counts.keys()) if (node.removedAt !== undefined) this.#counts.delete(node);
    this.#mostCounts = 2 * this.#counts.size + 100;
  }

  add(node: Node, other: Node): void {
    this.#picks++;
    this.#of(node).picked++;
    this.#of(other).shadowPicked++;
    if (other !== node) this.#differing++;
  }

  report(policy: string, shadow: string, error: unknown): ShadowReport {
    const picks = this.#picks;
    const nodes = Array.from(this.#counts, ([{ key }, { picked, shadowPicked }]) => {
      return { address: key, share: picked / picks, shadowShare: shadowPicked / picks };
    });
    nodes.sort((one, other) => other.share - one.share || (one.address < other.address ? -1 : 1));
    const report = { policy, shadow, picks, differing: this.#differing, nodes, error };
    return Object.defineProperty(report, "toString", { value: () => table(report) }) as ShadowReport;
  }

  #of(node: Node): Counts {
    const known = this.#counts.get(node);
    if (known !== undefined) return known;
    const counts = new Counts();
    this.#counts.set(node, counts);
    return counts;
  }
}

function table({ policy, shadow, picks, differing, nodes, error }: Omit<ShadowReport, "toString">): string {
  const part = picks === 0 ? 0 : differing / picks;
  const width = Math.max(4, ...nodes.map(({ address }) => address.length));
  const columns = [policy, shadow].map((name) => Math.max(7, name.length));
  const line = (first: string, ...cells: readonly string[]): string =>
    [first.padEnd(width), ...cells.map((cell, column) => cell.padStart(columns[column] ?? 0))].join("  ");
  return [
    `${shadow} in the shadow of ${policy}: another node in ${differing} of ${picks} picks (${percent(part)})`,
    ...(error === undefined ? [] : [`${shadow} threw, and was asked no more: ${String(error)}`]),
    line("node", policy, shadow),
    ...nodes.map(({ address, share, shadowShare }) => line(address, percent(share), percent(shadowShare))),
  ].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
