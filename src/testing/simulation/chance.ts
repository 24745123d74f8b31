/** What chance decides in a simulation: when calls come, and how much work each is. */
import type { Random } from "../../core/random.ts";
import type { Demand, ServerModel } from "./server.ts";
import type { Arrivals } from "./simulation.ts";

/** Calls that know nothing of each other, so many a second on average. */
export function poisson(perSecond: number): Arrivals {
  return (previousMs, _index, random) => previousMs + drawExponential(1_000 / perSecond, random);
}

/** Calls at the times of a list in ascending order. */
export function recorded(times: ArrayLike<number>): Arrivals {
  return (_previousMs, index) => times[index];
}

export function exponential(meanMs: number): Demand {
  return (random) => drawExponential(meanMs, random);
}

/** One of the values, by chance. */
export function drawnFrom(values: ArrayLike<number>): Demand {
  return (random) => values[Math.floor(random() * values.length)] as number;
}

/**
 * A normal distribution whose deviation is its mean, cut off at 0 and scaled back to the mean: the work of
 * Prequal's testbed ("Load is not what you should balance", NSDI 2024).
 */
export function truncatedNormal(meanMs: number): Demand {
  // Mean of a normal(1, 1) given that it is above 0: 1 + pdf(-1) / cdf(1).
  const scale = meanMs / (1 + 0.241_971 / 0.841_345);
  return (random) => {
    for (;;) {
      // Box and Muller's transform.
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      if (normal > -1) return scale * (1 + normal);
    }
  };
}

/** So many servers alike. */
export function createServers(count: number, model: Omit<ServerModel, "address">): readonly ServerModel[] {
  return Array.from({ length: count }, (_, index) => ({ ...model, address: `http://node-${index + 1}` }));
}

export function drawExponential(mean: number, random: Random): number {
  return -mean * Math.log(1 - random());
}
