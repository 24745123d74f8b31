/** The agent's options: what is merged, what is refused, and that each error says where. */
import { inspect } from "node:util";
import { Agent } from "undici";
import { expect, test } from "vitest";
import type { Discovery } from "../core/contracts.ts";
import { list } from "../discovery/list.ts";
import { leastCost } from "../policy/least-cost.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { BalancerAgent, type BalancerAgentOptions } from "./agent.ts";
import { Balancer } from "./balancer.ts";

test("defaults are merged field by field in groups of options, and what the service has wins", async () => {
  const discovery = list([]);
  const own = list([]);
  const factory = (): Agent => new Agent();
  const policy = roundRobin();
  await using agent = new BalancerAgent({
    defaults: {
      discovery,
      policy,
      timeouts: { totalMs: 1_000, attemptMs: 200 },
      retry: { attempts: 2, statuses: [500, 501], budget: { ratio: 0.5, minPerSecond: 3 } },
      health: { warmUpMs: 1, ejection: { consecutiveFailures: 7, baseMs: 9 } },
      connections: { perNode: 5, factory },
      limits: { inflight: 10, queueMs: 50, adaptive: { min: 2 } },
      breaker: { inflight: 20, rate: { windowMs: 1_000 } },
      hedge: { percentile: 95 },
      fallback: { status: 203, body: "all" },
      deadlineHeader: "grpc-timeout",
      tls: { servername: "all.internal" },
    },
    services: {
      all: {},
      some: {
        discovery: own,
        timeouts: { totalMs: 2_000, attemptMs: undefined },
        retry: { statuses: [503], budget: { ratio: 0.1 } },
        health: { ejection: { baseMs: 10 } },
        connections: { idleMs: 77 },
        limits: { ratePerSecond: 5, adaptive: { max: 8 } },
        breaker: { rate: { ratio: 3 } },
        hedge: { afterMs: 50 },
        fallback: { body: "some" },
        tls: { key: "key" },
        policy: undefined,
      },
      none: { policy: leastCost(), retry: false, health: { ejection: false }, breaker: false },
    },
  });
  const { all, some, none } = Object.fromEntries(
    Array.from(agent.services, ([name, { cluster }]) => [name, cluster.options]),
  );
  expect(all).toMatchObject({ name: "all", timeouts: { totalMs: 1_000, attemptMs: 200, connectMs: 1_000 } });
  expect(all?.discovery).toBe(discovery);
  expect(some).toMatchObject({
    timeouts: { totalMs: 2_000, attemptMs: 200 },
    retry: { attempts: 2, statuses: new Set([503]) },
    retryBudget: { ratio: 0.1, minPerSecond: 3 },
    warmUpMs: 1,
    ejection: { consecutiveFailures: 7, baseMs: 10 },
    connections: { perNode: 5, idleMs: 77, factory },
    limits: { inflight: 10, queueMs: 50, adaptive: { min: 2, max: 8 }, rate: { ratePerSecond: 5 } },
    breaker: { inflight: 20, rate: { windowMs: 1_000, ratio: 3 } },
    hedge: { afterMs: 50, share: undefined },
    fallback: { status: 200, body: "some" },
    deadlineHeader: "grpc-timeout",
    tls: { servername: "all.internal", key: "key" },
  });
  expect(all).toMatchObject({ hedge: { share: 0.95 }, limits: { adaptive: { min: 2, max: 10 } } });
  expect(some?.discovery).toBe(own);
  expect(some?.policy).toBe(policy);
  expect(none).toMatchObject({ policy: { name: "leastCost" }, retry: { attempts: 1 }, ejection: undefined });
  expect(none?.breaker).toBeUndefined();
});

test("a default of false gives way to a service's own group", async () => {
  await using agent = new BalancerAgent({
    defaults: { discovery: [], retry: false, health: { ejection: false } },
    services: { orders: { retry: { attempts: 4 }, health: { ejection: { baseMs: 3 } } } },
  });
  expect(agent.balancer("orders").cluster.options).toMatchObject({
    retry: { attempts: 4 },
    ejection: { baseMs: 3 },
  });
});

test("what the options hold is read and not changed", async () => {
  const options = {
    defaults: Object.freeze({ discovery: [], retry: Object.freeze({ attempts: 2 }) }),
    services: Object.freeze({ orders: Object.freeze({ retry: Object.freeze({ backoffMs: 1 }) }) }),
  };
  const before = JSON.stringify(options);
  await using agent = new BalancerAgent(options);
  expect(agent.services.size).toBe(1);
  expect(JSON.stringify(options)).toBe(before);
});

test.each<[unknown, ErrorConstructor, string | RegExp]>([
  [5, TypeError, "options must be an object, got 5"],
  [{ service: {} }, TypeError, 'unknown option service (an object with no fields); did you mean "services"?'],
  [{ services: [] }, TypeError, "services must be an object, got an array of 0"],
  [{ defaults: 5 }, TypeError, "defaults must be an object, got 5"],
  [{ resolve: {} }, TypeError, "resolve must be a function, got an object with no fields"],
  [{ passThrough: {} }, TypeError, "passThrough must have a method dispatch(), got an object with no fields"],
  [
    { services: { orders: 5 } },
    TypeError,
    "services.orders must be an object of options, a Balancer or a Cluster, got 5",
  ],
  [
    { services: { orders: {} } },
    TypeError,
    "services.orders.discovery must be a source such as list() or file(), or an array of endpoints, got undefined",
  ],
  [{ services: { orders: { discovery: [5] } } }, TypeError, /^services\.orders: /],
  [
    { services: { orders: { discovery: [], name: "x" } } },
    TypeError,
    'services.orders.name must not be given: the service\'s name is "orders", where its options stand',
  ],
  [
    { services: { orders: { discovery: [], timeout: {} } } },
    TypeError,
    'unknown option services.orders.timeout (an object with no fields); did you mean "timeouts"?',
  ],
  [
    { services: { orders: { discovery: [], retry: { attempts: 0 } } } },
    RangeError,
    "services.orders.retry.attempts must be an integer from 1 to 100, got 0",
  ],
  [
    { services: { orders: { discovery: [], retry: { budget: { rate: 1 } } } } },
    TypeError,
    'unknown option services.orders.retry.budget.rate (1); did you mean "ratio"?',
  ],
  [
    { services: { "a/b": { discovery: [] } } },
    TypeError,
    /^services\.a\/b\.name must be usable as the host of a URL/,
  ],
  [
    { services: { "http://orders": { discovery: [] } } },
    TypeError,
    /^services\.http:\/\/orders\.name must be usable/,
  ],
  [
    { services: { orders: { discovery: [] }, Orders: { discovery: [] } } },
    TypeError,
    "services.Orders is given twice: case makes no difference in a host",
  ],
  [
    { defaults: { retry: { attempts: -1 } } },
    RangeError,
    "defaults.retry.attempts must be an integer from 1 to 100, got -1",
  ],
  [{ defaults: { polcy: 1 } }, TypeError, 'unknown option defaults.polcy (1); did you mean "policy"?'],
  [
    { defaults: { snapshot: { path: "a.json" } } },
    TypeError,
    'defaults.snapshot.path must end in a slash, as each service has a file of its own, got "a.json"',
  ],
  [{ defaults: { name: "x" } }, TypeError, "defaults.name must not be given: each service has its own"],
  [
    { defaults: JSON.parse('{"__proto__":{"retry":false}}') },
    TypeError,
    /^unknown option defaults\.__proto__/,
  ],
])("refuses %j", (options, type, message) => {
  let refusal: unknown;
  try {
    new BalancerAgent(options as BalancerAgentOptions);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toBeInstanceOf(type);
  if (typeof message === "string") expect((refusal as Error).message).toBe(message);
  else expect((refusal as Error).message).toMatch(message);
});

test("a Balancer or Cluster under a host that is not its name is refused", async () => {
  await using balancer = new Balancer({ name: "orders", discovery: [] });
  for (const orders of [balancer, balancer.cluster]) {
    expect(() => new BalancerAgent({ services: { users: orders } })).toThrow(
      'services.users is named "orders", and takes no calls to another host',
    );
    await using agent = new BalancerAgent({ services: { Orders: orders } });
    expect(agent.balancer("orders").cluster).toBe(balancer.cluster);
  }
  expect(balancer.closed).toBe(false);
});

test("when one service is refused, those before it are closed again", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const discovery: Discovery = {
    async *watch({ signal }): AsyncGenerator<never> {
      signal.addEventListener("abort", () => resolve());
      await promise;
    },
  };
  const services = { orders: { discovery }, users: { discovery, retry: { attempts: 0 } } };
  expect(() => new BalancerAgent({ services })).toThrow(/^services\.users\.retry\.attempts/);
  await promise;
});

test("printed or as JSON it shows its services, and no secret", async () => {
  const secret = "-----BEGIN PRIVATE KEY-----";
  await using agent = new BalancerAgent({
    services: { orders: { discovery: ["http://127.0.0.1:9"] } },
    defaults: { tls: { key: secret } },
  });
  expect(inspect(agent)).toBe("BalancerAgent of orders");
  expect(JSON.stringify(agent)).toContain('"http://127.0.0.1:9"');
  expect(inspect(agent) + JSON.stringify(agent)).not.toContain("PRIVATE");
});
