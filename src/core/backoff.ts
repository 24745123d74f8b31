/** How long to wait before trying again: exponential growth with jitter, as pure functions. */
import type { Random } from "./random.ts";

/** `baseMs * 2^step`, at most `maxMs`. `step` counts from 0. */
export function exponentialMs(step: number, baseMs: number, maxMs: number): number {
  return Math.min(maxMs, baseMs * 2 ** Math.min(step, 52));
}

/**
 * Full jitter: uniform in [0, exponential). It spreads retries of many clients best (AWS Architecture Blog,
 * "Exponential Backoff And Jitter").
 */
export function fullJitterMs(step: number, baseMs: number, maxMs: number, random: Random): number {
  return random() * exponentialMs(step, baseMs, maxMs);
}

/** Equal jitter: half fixed, half random. For penalties, which must not come out near zero. */
export function equalJitterMs(step: number, baseMs: number, maxMs: number, random: Random): number {
  const delayMs = exponentialMs(step, baseMs, maxMs);
  return delayMs / 2 + (random() * delayMs) / 2;
}
