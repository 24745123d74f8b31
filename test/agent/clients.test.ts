/** Other clients over a cluster: ky and openapi-fetch by `fetch`, got by `cluster.call`. A node dies, and no GET fails. */
import got from "got";
import ky from "ky";
import createClient from "openapi-fetch";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Balancer, BalancerAgent, Cluster, type NodeView } from "../../src/index.ts";
import { type Backend, startBackends } from "../../src/testing/backend.ts";
import { rejection } from "../http/support/balancers.ts";
import { drive } from "../support/drive.ts";

/** As openapi-typescript writes it. */
interface Paths {
  readonly "/v1/orders/{id}": {
    readonly get: {
      readonly parameters: { readonly path: { readonly id: number } };
      readonly responses: {
        readonly 200: { readonly content: { readonly "application/json": { readonly pid: number } } };
      };
    };
  };
}

/** Which process answered. Rejects when none did. */
type Get = () => Promise<number>;

interface Client {
  readonly get: Get;
  readonly nodes: () => readonly NodeView[];
  readonly close: () => Promise<void>;
}

const options = (backends: readonly Backend[]) => ({ discovery: backends.map(({ address }) => address) });

/** With every client's own retries switched off: it is the cluster that must not let a call fail. */
const clients: Record<string, (backends: readonly Backend[]) => Client> = {
  "ky over agent.fetch"(backends) {
    const agent = new BalancerAgent({ services: { orders: options(backends) } });
    const client = ky.create({ prefixUrl: "http://orders/v1", fetch: agent.fetch, retry: 0 });
    return {
      get: async () => (await client.get("orders/42").json<{ pid: number }>()).pid,
      nodes: () => agent.balancer("orders").nodes,
      close: () => agent.close(),
    };
  },
  "ky over balancer.fetch"(backends) {
    const balancer = new Balancer({ name: "orders", ...options(backends) });
    const client = ky.create({ prefixUrl: "http://orders/v1", fetch: balancer.fetch, retry: 0 });
    return {
      get: async () => (await client.get("orders/42").json<{ pid: number }>()).pid,
      nodes: () => balancer.nodes,
      close: () => balancer.close(),
    };
  },
  "openapi-fetch over agent.fetch"(backends) {
    const agent = new BalancerAgent({ services: { orders: options(backends) } });
    const client = createClient<Paths>({ baseUrl: "http://orders", fetch: agent.fetch });
    return {
      async get() {
        const { data, response } = await client.GET("/v1/orders/{id}", { params: { path: { id: 42 } } });
        if (data === undefined) throw new Error(`status ${response.status}`);
        return data.pid;
      },
      nodes: () => agent.balancer("orders").nodes,
      close: () => agent.close(),
    };
  },
  "got by cluster.call"(backends) {
    const cluster = new Cluster({ name: "orders", ...options(backends) });
    return {
      async get() {
        const { pid } = await cluster.call(
          ({ node, signal }) =>
            got(node.url("/v1/orders/42"), { signal, retry: { limit: 0 } }).json<{ pid: number }>(),
          { idempotent: true },
        );
        return pid;
      },
      nodes: () => cluster.nodes,
      close: () => cluster.close(),
    };
  },
};

let backends: Backend[];
beforeEach(async () => {
  backends = await startBackends(3, { workMs: 20 });
});
afterEach(async () => {
  await Promise.all(backends.map((backend) => backend.kill()));
});

test.each(Object.entries(clients))("%s: a killed node fails no GET", async (_, create) => {
  const { get, nodes, close } = create(backends);
  const pids: number[] = [];
  const result = await drive({ ratePerSecond: 150, seconds: 2 }, async (index) => {
    if (index === 100) await backends[0]?.kill();
    pids.push(await get());
  });
  const [dead, ...others] = nodes();
  await close();
  expect(result.failed, result.describeFailures()).toHaveLength(0);
  expect(pids).toHaveLength(300);
  expect(dead?.failures, "calls that met the dead node").toBeGreaterThan(0);
  expect(others.map(({ failures }) => failures)).toEqual([0, 0]);
  // All nodes were called, the dead one too while it lived.
  expect(new Set(pids)).toEqual(new Set(backends.map(({ pid }) => pid)));
});

describe("what ky makes of an answer that is none", () => {
  test("a status is ky's HTTPError, with the answer's body", async () => {
    await Promise.all(
      backends.map((backend) => backend.configure({ status: 500, body: '{"reason":"broken"}' })),
    );
    await using agent = new BalancerAgent({ services: { orders: options(backends) } });
    const error = await rejection(ky.get("http://orders/", { fetch: agent.fetch, retry: 0 }));
    expect(error.name).toBe("HTTPError");
    const { response } = error as unknown as { response: Response };
    expect([response.status, await response.json()]).toEqual([500, { reason: "broken" }]);
  });

  test("its time-out and the caller's abort end the call", async () => {
    await Promise.all(backends.map((backend) => backend.configure({ workMs: 5_000 })));
    await using agent = new BalancerAgent({ services: { orders: options(backends) } });
    const request = { fetch: agent.fetch, retry: 0 } as const;
    expect((await rejection(ky.get("http://orders/", { ...request, timeout: 100 }))).name).toBe(
      "TimeoutError",
    );
    const signal = AbortSignal.timeout(100);
    expect((await rejection(ky.get("http://orders/", { ...request, signal }))).name).toBe("TimeoutError");
    await expect
      .poll(() => agent.balancer("orders").nodes.map(({ inflight }) => inflight))
      .toEqual([0, 0, 0]);
  });

  test("a POST of JSON and a hook see what they see with the built-in fetch", async () => {
    await using agent = new BalancerAgent({ services: { orders: options(backends) } });
    const seen: number[] = [];
    const answer = await ky
      .post("http://orders/", {
        fetch: agent.fetch,
        json: { id: 42 },
        hooks: { afterResponse: [(_request, _options, response) => void seen.push(response.status)] },
      })
      .json();
    expect(answer).toMatchObject({ bytesReceived: JSON.stringify({ id: 42 }).length });
    expect(seen).toEqual([200]);
  });
});
