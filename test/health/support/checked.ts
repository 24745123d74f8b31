/** Balancers whose nodes are checked often, and what their checks have found so far. */
import type { BalancerOptions, HealthCheck, NodeView, PollOptions } from "../../../src/index.ts";
import { type Addressed, startBalancer, type TestBalancer } from "../../http/support/balancers.ts";
import { until } from "../../support/until.ts";

/** Often, and with a verdict by each probe: a node that shows as ready after a few has passed every one of them. */
export const often: PollOptions = { intervalMs: 20, timeoutMs: 2_000, rise: 1, fall: 1, jitter: 0 };

/** What is waited for takes milliseconds; a busy machine may take its time. */
const limitMs = 10_000;

export function startChecked(
  nodes: readonly (Addressed | string)[],
  check: HealthCheck,
  options: Partial<BalancerOptions> = {},
): TestBalancer {
  return startBalancer(nodes, { ...options, health: { ...options.health, check } });
}

export function nodeOf(balancer: TestBalancer, index = 0): NodeView {
  const node = balancer.nodes[index];
  if (node === undefined) throw new Error(`there is no node ${index}`);
  return node;
}

/** Waits until a node is in a state, and gives the reason. */
export async function reasonWhen(
  state: NodeView["state"],
  balancer: TestBalancer,
  index = 0,
): Promise<string> {
  await until(`node ${index} is ${state}`, () => nodeOf(balancer, index).state === state, limitMs);
  return nodeOf(balancer, index).reason;
}

/** Waits for a number of probes, or whatever else `count` counts. */
export async function untilAtLeast(count: () => number, least: number): Promise<void> {
  await until(`${least} are counted`, () => count() >= least, limitMs);
}
