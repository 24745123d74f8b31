/** What is known of a cluster's nodes together: what a node is expected to be like of which nothing is known. */
import { blend } from "./ewma.ts";

/** Gain of the fleet's average, and its start (algorithms.md, "least cost"). */
const fleetGain = 0.02;
const startMs = 1;

export class Fleet {
  /** Average time to the final headers of successful answers, over all nodes. */
  latencyMs: number = startMs;

  /** Average of the calls in flight that nodes report, for a node of weight 1. */
  inflightPerWeight = 0;

  observe(latencyMs: number): void {
    this.latencyMs = blend(this.latencyMs, latencyMs, fleetGain);
  }

  observeInflight(perWeight: number): void {
    this.inflightPerWeight = blend(this.inflightPerWeight, perWeight, fleetGain);
  }
}
