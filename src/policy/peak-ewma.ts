/**
 * Peak EWMA: of two nodes drawn at random, the one with the lower latency times calls in flight.
 *
 *     load = average * (inflight + 1) / weight
 *
 * Twitter's Finagle (`PeakEwma.scala`), tower, Linkerd. The average rises with a single slow answer and falls over
 * `decayMs`, so that calls leave a slow node at once. That is also its weakness: where nodes pause now and then, as
 * for garbage collection, it flees from one to the next. In our simulation `leastCost()`, with a slow average, is
 * better in most scenarios (algorithms.md).
 *
 * Nodes are drawn in proportion to weight, and one drawn later takes the call only if its load is lower with and
 * without that weight in the call's own part, (inflight + 1) / weight and inflight / weight + 1: else weight would
 * count twice (see `leastRequest`). With equal weights that is the formula above.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Outcome } from "../core/outcome.ts";
import { createSeededRandom, type Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { isExactByPairs, sharesByPairs, sharesBySimulation } from "./drawn-shares.ts";
import { PeakAverage } from "./peak-average.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";
import { WeightedDraw } from "./weighted-draw.ts";

/**
 * What a node that has yet to answer for the first time counts while a call is on its way to it. Finagle's is
 * nearly infinite; any number far above real latencies does, and this is what a failure counts.
 */
const unknownMs = 5_000;

export interface PeakEwmaOptions {
  /**
   * In milliseconds, at least 1: how long a slow answer is remembered; after it 1/e of it is left. Default 10,000,
   * as in Finagle and Linkerd.
   */
  readonly decayMs?: number | undefined;
  /** How many nodes each pick compares, an integer of at least 2. Default 2. */
  readonly choices?: number | undefined;
  /** The source of chance. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
}

/**
 * Spreads calls by peak latency and calls in flight.
 *
 * @throws RangeError for a number out of range; TypeError for an option that does not exist or is of the wrong type.
 */
export function peakEwma(options: PeakEwmaOptions = {}): Policy {
  const reader = new OptionReader(options, "peakEwma");
  const decayMs = reader.number("decayMs", { default: 10_000, min: 1 });
  const choices = reader.number("choices", { default: 2, min: 2, integer: true });
  const random = readRandom(reader);
  reader.end();
  return {
    name: "peakEwma",
    build(nodes, previous): Picker {
      const known = previous instanceof PeakEwmaPicker ? previous : undefined;
      return new PeakEwmaPicker(nodes, decayMs, choices, random, known);
    },
  };
}

class PeakEwmaPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  readonly #decayMs: number;
  readonly #choices: number;
  readonly #draw: WeightedDraw;
  /** In the order of the nodes, for picks. */
  readonly #averages: PeakAverage[];
  /** The same by node, for samples. A node that is taken out loses its average, as it does the node's own. */
  readonly #byNode: Map<Node, PeakAverage>;
  /** The time of the last sample of any node: a pick asks no clock, and while calls are made, some end. */
  #now: number;

  constructor(
    nodes: readonly Node[],
    decayMs: number,
    choices: number,
    random: Random,
    previous: PeakEwmaPicker | undefined,
  ) {
    this.#nodes = nodes;
    this.#decayMs = decayMs;
    this.#choices = Math.min(choices, nodes.length);
    this.#draw = new WeightedDraw(nodes, random);
    this.#averages = nodes.map((node) => {
      const known = previous === undefined ? undefined : previous.#byNode.get(node);
      return known ?? new PeakAverage();
    });
    this.#byNode = new Map(nodes.map((node, index) => [node, this.#averages[index] as PeakAverage]));
    this.#now = previous === undefined ? Number.NEGATIVE_INFINITY : previous.#now;
  }

  pick(call: CallInfo): Node | undefined {
    const { tried } = call;
    let best = -1;
    this.#draw.begin();
    for (let choice = 0; choice < this.#choices; choice++) {
      let index = this.#draw.next(tried);
      if (index < 0) index = this.#draw.nextByScan(tried);
      if (index < 0) break;
      if (best < 0 || this.#isLess(index, best)) best = index;
    }
    return best < 0 ? undefined : this.#nodes[best];
  }

  observe(node: Node, latencyMs: number, outcome: Outcome, now: number): void {
    const average = this.#byNode.get(node);
    if (average === undefined) return;
    if (now > this.#now) this.#now = now;
    if (outcome.kind === "success") average.succeeded(latencyMs, now, this.#decayMs);
    else if (outcome.kind === "failure") average.failed(latencyMs, now);
    else average.stopped(latencyMs, now);
  }

  /** Exact for two choices of up to 1,000 nodes; else counted over simulated picks, to about one percent. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const nodes = this.#nodes;
    if (isExactByPairs(nodes.length, this.#choices)) {
      const beats = (challenger: number, holder: number) => this.#isLess(challenger, holder);
      return sharesOf(nodes, sharesByPairs(nodes, call.tried, beats));
    }
    const twin = new PeakEwmaPicker(nodes, this.#decayMs, this.#choices, createSeededRandom(1), this);
    return sharesOf(nodes, sharesBySimulation(nodes, call, twin));
  }

  #isLess(index: number, other: number): boolean {
    const { inflight, weight } = this.#nodes[index] as Node;
    const { inflight: otherInflight, weight: otherWeight } = this.#nodes[other] as Node;
    const ms = this.#expectedMs(index);
    const otherMs = this.#expectedMs(other);
    return (
      (ms * (inflight + 1)) / weight < (otherMs * (otherInflight + 1)) / otherWeight &&
      ms * (inflight / weight + 1) < otherMs * (otherInflight / otherWeight + 1)
    );
  }

  #expectedMs(index: number): number {
    const average = this.#averages[index] as PeakAverage;
    if (average.isKnown) return average.at(this.#now, this.#decayMs);
    const { fresh, inflight, latencyMs } = this.#nodes[index] as Node;
    return fresh && inflight > 0 ? unknownMs : latencyMs;
  }
}
