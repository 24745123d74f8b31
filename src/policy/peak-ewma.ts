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
  const averages = new PeakAverages(decayMs);
  return {
    name: "peakEwma",
    build: (nodes): Picker => new PeakEwmaPicker(nodes, averages, choices, random),
    observe: (node, latencyMs, outcome, now) => averages.observe(node, latencyMs, outcome, now),
  };
}

/** The averages of all nodes. They outlive pickers, of which a cluster with zones or priorities has several. */
class PeakAverages {
  readonly decayMs: number;
  /** The time of the last sample of any node: a pick asks no clock, and while calls are made, some end. */
  now: number = Number.NEGATIVE_INFINITY;
  readonly #byNode: WeakMap<Node, PeakAverage> = new WeakMap();

  constructor(decayMs: number) {
    this.decayMs = decayMs;
  }

  of(node: Node): PeakAverage {
    const known = this.#byNode.get(node);
    if (known !== undefined) return known;
    const average = new PeakAverage();
    this.#byNode.set(node, average);
    return average;
  }

  observe(node: Node, latencyMs: number, outcome: Outcome, now: number): void {
    const average = this.of(node);
    if (now > this.now) this.now = now;
    // What took it out was paid for: it starts anew, as the node's own averages do.
    if (average.sampledAt < node.returnedAt) average.forget();
    if (outcome.kind === "success") average.succeeded(latencyMs, now, this.decayMs);
    else if (outcome.kind === "failure") average.failed(latencyMs, now);
    else average.stopped(latencyMs, now);
  }
}

class PeakEwmaPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  readonly #all: PeakAverages;
  /** In the order of the nodes. */
  readonly #averages: readonly PeakAverage[];
  readonly #choices: number;
  readonly #draw: WeightedDraw;

  constructor(nodes: readonly Node[], all: PeakAverages, choices: number, random: Random) {
    this.#nodes = nodes;
    this.#all = all;
    this.#averages = nodes.map((node) => all.of(node));
    this.#choices = Math.min(choices, nodes.length);
    this.#draw = new WeightedDraw(nodes, random);
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

  /** Exact for two choices of up to 1,000 nodes; else counted over simulated picks, to about one percent. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const nodes = this.#nodes;
    if (isExactByPairs(nodes.length, this.#choices)) {
      const beats = (challenger: number, holder: number) => this.#isLess(challenger, holder);
      return sharesOf(nodes, sharesByPairs(nodes, call.tried, beats));
    }
    const twin = new PeakEwmaPicker(nodes, this.#all, this.#choices, createSeededRandom(1));
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
    const node = this.#nodes[index] as Node;
    const average = this.#averages[index] as PeakAverage;
    const { sampledAt } = average;
    if (sampledAt > Number.NEGATIVE_INFINITY && sampledAt >= node.returnedAt) {
      return average.at(this.#all.now, this.#all.decayMs);
    }
    return node.fresh && node.inflight > 0 ? unknownMs : node.latencyMs;
  }
}
