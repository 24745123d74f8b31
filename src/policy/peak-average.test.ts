/** The peak average: up at once, down slowly, and what failures and aborted calls do to it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { PeakAverage } from "./peak-average.ts";

const decayMs = 10_000;

function after(samples: readonly [latencyMs: number, now: number][]): PeakAverage {
  const average = new PeakAverage();
  for (const [latencyMs, now] of samples) average.succeeded(latencyMs, now, decayMs);
  return average;
}

test("rises to a slow answer at once", () => {
  const average = after([
    [10, 0],
    [500, 1],
  ]);
  expect(average.at(1, decayMs)).toBe(500);
});

test("falls towards faster ones by the time that passed, not by their number", () => {
  const w = Math.exp(-1 / 10);
  const once = after([
    [500, 0],
    [10, 1_000],
  ]);
  expect(once.at(1_000, decayMs)).toBeCloseTo(500 * w + 10 * (1 - w), 9);
  const often = after([
    [500, 0],
    ...Array.from({ length: 100 }, (_, call): [number, number] => [10, 10 * (call + 1)]),
  ]);
  expect(often.at(1_000, decayMs)).toBeCloseTo(once.at(1_000, decayMs), 9);
});

test("sinks without samples, and a read changes nothing", () => {
  const average = after([[500, 0]]);
  expect(average.at(decayMs, decayMs)).toBeCloseTo(500 / Math.E, 9);
  expect(average.at(decayMs, decayMs)).toBeCloseTo(500 / Math.E, 9);
  expect(average.at(0, decayMs)).toBe(500);
});

test("counts a failure as 5 s at least, and as long as it took", () => {
  const average = after([[10, 0]]);
  average.failed(1, 100);
  expect(average.at(100, decayMs)).toBe(5_000);
  average.failed(30_000, 200);
  expect(average.at(200, decayMs)).toBe(30_000);
  average.failed(1, 300);
  expect(average.at(300, decayMs)).toBe(30_000);
});

test("is only raised by a call that was given up", () => {
  const average = after([[100, 0]]);
  average.stopped(50, 10);
  expect(average.at(0, decayMs)).toBe(100);
  average.stopped(300, 10);
  expect(average.at(10, decayMs)).toBe(300);
  const unknown = new PeakAverage();
  unknown.stopped(300, 10);
  expect(unknown.sampledAt).toBe(Number.NEGATIVE_INFINITY);
});

test("is never below the sample nor above the highest, whatever the times", () => {
  const sample = fc.tuple(
    fc.double({ min: 0, max: 1e5, noNaN: true }),
    fc.double({ min: 0, max: 1e5, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
      const average = after(samples);
      const value = average.at(average.sampledAt, decayMs);
      expect(value).toBeLessThanOrEqual(Math.max(...samples.map(([latencyMs]) => latencyMs)));
      expect(value).toBeGreaterThanOrEqual(samples.at(-1)?.[0] as number);
      expect(average.sampledAt).toBe(Math.max(...samples.map(([, now]) => now)));
    }),
    { seed: 1 },
  );
});
