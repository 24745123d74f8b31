/** Latency over time in one line of text. */
import { totalMs } from "./options.ts";

const bars = "▁▂▃▄▅▆▇█";
/** The lowest bar is up to here, and the highest from the calls' whole time on. */
const lowestMs = 5;

/** One bar, on a scale of equal ratios: 5 ms and 50 ms are as far apart as 50 ms and 500 ms. */
export function bar(ms: number): string {
  const height = Math.log(Math.max(ms, lowestMs) / lowestMs) / Math.log(totalMs / lowestMs);
  return bars[Math.min(bars.length - 1, Math.floor(height * bars.length))] as string;
}

/** `done` from 0 to 1. */
export function progressBar(done: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, done)) * width);
  return "█".repeat(filled) + "░".repeat(width - filled);
}
