/** What is known of a cluster's nodes together: the latency that an unknown node is expected to have. */
import { blend } from "./ewma.ts";

/** Gain of the fleet's average, and its start (algorithms.md, "least cost"). */
const fleetGain = 0.02;
const startMs = 1;

export class Fleet {
  /** Average time to the final headers of successful answers, over all nodes. */
  latencyMs: number = startMs;

  observe(latencyMs: number): void {
    this.latencyMs = blend(this.latencyMs, latencyMs, fleetGain);
  }
}
