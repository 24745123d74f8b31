/** Balancers over test servers: the nodes in a known order, and nothing left when the test ends. */
import { expect } from "vitest";
import { Balancer, type BalancerOptions } from "../../../src/index.ts";
import { inOrder } from "../../support/in-order.ts";
import { until } from "../../support/until.ts";

export { inOrder };

/** Anything that has an address: a test server, or `{ address }`. */
export interface Addressed {
  readonly address: string;
}

/** A balancer named "orders" that is destroyed when the test ends, whatever still runs. */
export type TestBalancer = Balancer & AsyncDisposable;

export function startBalancer(
  nodes: readonly (Addressed | string)[],
  options: Partial<BalancerOptions> = {},
): TestBalancer {
  const balancer = new Balancer({
    name: "orders",
    discovery: nodes.map((node) => (typeof node === "string" ? node : node.address)),
    policy: inOrder(),
    ...options,
  });
  balancer[Symbol.asyncDispose] = () => balancer.destroy();
  return balancer;
}

/** Waits until no call is counted on any node. */
export async function expectIdle(balancer: Balancer): Promise<void> {
  await until("no call in flight", () => inflight(balancer) === 0, 2_000);
}

export function inflight(balancer: Balancer): number {
  return balancer.nodes.reduce((sum, node) => sum + node.inflight, 0);
}

/** Nothing of what happened is held against any node. */
export function expectNoBlame(balancer: Balancer): void {
  expect(balancer.nodes.map(({ failures, state }) => ({ failures, state }))).toEqual(
    balancer.nodes.map(() => ({ failures: 0, state: "ready" })),
  );
}

/** What a promise was rejected with; fails the test when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("the promise was fulfilled");
}
