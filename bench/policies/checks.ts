/** Whether the model gives what theory knows exactly: M/M/1-PS and the supermarket model. */
import { leastRequest } from "../../src/policy/least-request.ts";
import { createServers, exponential, poisson } from "../../src/testing/simulation/chance.ts";
import { Simulation } from "../../src/testing/simulation/simulation.ts";

/** For deadlines that no call is to meet. */
const never = 10_000_000;
const workMs = 20;

/** A Markdown section. */
export function checkModel(): string {
  return ["## The model against theory", "", ...checkSingle(), "", ...checkSupermarket()].join("\n");
}

function checkSingle(): readonly string[] {
  const lines = [
    `One server of one core, exponential work of ${workMs} ms: M/M/1-PS, whose mean time to the answer is 1 / (mu - lambda).`,
    "Mean of 12 seeds of 8,000 s each, with the standard error of that mean.",
    "",
    "| load | theory, ms | model, ms | deviation |",
    "|---:|---:|---:|---:|",
  ];
  for (const load of [0.5, 0.7, 0.9]) {
    const theory = workMs / (1 - load);
    const means = Array.from({ length: 12 }, (_, index) => meanOfSingle(index + 1, load));
    const mean = meanOf(means);
    const variance = means.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (means.length - 1);
    const error = Math.sqrt(variance / means.length);
    lines.push(
      `| ${load} | ${theory.toFixed(1)} | ${mean.toFixed(1)} ± ${error.toFixed(1)} | ${deviation(mean, theory)} |`,
    );
  }
  return lines;
}

function meanOfSingle(seed: number, load: number): number {
  const { latencies } = new Simulation({
    seed,
    clients: 1,
    servers: createServers(1, { cores: 1 }),
    createPolicy: (random) => leastRequest({ random }),
    arrivals: poisson((load * 1_000) / workMs),
    demand: exponential(workMs),
    attemptMs: never,
    measureFromMs: 20_000,
    endMs: 8_020_000,
  }).run();
  return meanOf(latencies);
}

function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index] as number;
  return sum / values.length;
}

/**
 * N. Vvedenskaya, R. Dobrushin, F. Karpelevich, 1996; M. Mitzenmacher, 1996: with two choices and many servers, a part
 * of rho^(2^i - 1) of the servers has i jobs or more. With processor sharing too: the number of jobs at a server does
 * not depend on the order in which exponential jobs are served.
 */
function checkSupermarket(): readonly string[] {
  const load = 0.9;
  const count = 500;
  const atLeast = [0, 0, 0, 0, 0, 0];
  let looks = 0;
  for (const seed of [1, 2, 3]) {
    const simulation = new Simulation({
      seed,
      clients: 1,
      servers: createServers(count, { cores: 1 }),
      createPolicy: (random) => leastRequest({ random, choices: 2 }),
      arrivals: poisson((load * count * 1_000) / workMs),
      demand: exponential(workMs),
      attemptMs: never,
      measureFromMs: 4_000,
      endMs: 44_000,
    });
    for (let at = 4_000; at < 44_000; at += 20) {
      simulation.at(at, () => {
        looks++;
        for (let index = 0; index < count; index++) {
          const { jobs } = simulation.server(index);
          for (let least = 1; least <= Math.min(jobs, 5); least++) {
            atLeast[least] = (atLeast[least] as number) + 1;
          }
        }
      });
    }
    simulation.run();
  }
  const lines = [
    `${count} servers of one core at a load of ${load}, one client that sees all calls, least request of two: the supermarket`,
    "model, in which a part of rho^(2^i - 1) of the servers has i jobs or more. Three seeds of 40 s.",
    "",
    "| jobs | theory | model | deviation |",
    "|---:|---:|---:|---:|",
  ];
  for (let least = 1; least <= 5; least++) {
    const theory = load ** (2 ** least - 1);
    const part = (atLeast[least] as number) / (looks * count);
    lines.push(`| ${least} | ${theory.toFixed(4)} | ${part.toFixed(4)} | ${deviation(part, theory)} |`);
  }
  return lines;
}

function deviation(value: number, theory: number): string {
  const percent = (100 * (value - theory)) / theory;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(1)}%`;
}
