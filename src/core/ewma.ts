/** The two steps of an exponentially weighted moving average, as pure functions over plain numbers. */

/**
 * Moves `value` towards `target` as `elapsedMs` pass: after `tauMs` the distance is 1/e of what it was.
 * A value that gets no samples fades to what it would be guessed to be, not to nothing.
 */
export function fade(value: number, target: number, elapsedMs: number, tauMs: number): number {
  if (elapsedMs <= 0) return value;
  return target + (value - target) * Math.exp(-elapsedMs / tauMs);
}

/** Takes a sample into the average. `gain` is its weight, in (0, 1]. */
export function blend(value: number, sample: number, gain: number): number {
  return value + gain * (sample - value);
}
