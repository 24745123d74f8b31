/** The options that all probing checks have in common. */
import { longestTimerMs, type OptionReader } from "../core/option-reader.ts";
import type { PollRules } from "./poller.ts";

export interface PollOptions {
  /**
   * From the end of one probe to the start of the next. Default 5,000: calls notice a bad node by themselves and
   * sooner, and each process of each caller probes each node. While a node is down, and before its first verdict, it
   * is a quarter of that, but no less than 1,000 unless the interval is.
   */
  readonly intervalMs?: number | undefined;
  /** What one probe may take, connection and body included. Default 1,000, as `timeouts.connectMs`. */
  readonly timeoutMs?: number | undefined;
  /** Passed probes in a row that bring a node back. Default 2 (HAProxy): one may be luck while it still starts. */
  readonly rise?: number | undefined;
  /** Failed probes in a row that take a node out. Default 3 (HAProxy, Kubernetes): a node outlives two lost ones. */
  readonly fall?: number | undefined;
  /** By up to this share, from 0 to 1, an interval is longer or shorter. Default 0.1. */
  readonly jitter?: number | undefined;
}

export function resolvePolling(options: OptionReader): PollRules {
  return {
    intervalMs: options.number("intervalMs", { default: 5_000, min: 1, max: longestTimerMs / 2 }),
    timeoutMs: options.number("timeoutMs", { default: 1_000, min: 1, max: longestTimerMs }),
    rise: options.number("rise", { default: 2, min: 1, integer: true }),
    fall: options.number("fall", { default: 3, min: 1, integer: true }),
    jitter: options.number("jitter", { default: 0.1, min: 0, max: 1 }),
  };
}
