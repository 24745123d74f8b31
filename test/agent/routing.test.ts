/** Where an agent sends calls: by the URL's host to a service's Balancer, all others straight through. */
import { Agent, type Dispatcher, interceptors, MockAgent, request as undiciRequest } from "undici";
import { expect, expectTypeOf, test } from "vitest";
import {
  Balancer,
  BalancerAgent,
  type BalancerAgentOptions,
  Cluster,
  type Discovery,
} from "../../src/index.ts";
import { expectIdle, rejection } from "../http/support/balancers.ts";
import { RecordingHandler } from "../http/support/recording-handler.ts";
import { startServer, type TestServer } from "../http/support/server.ts";
import { until } from "../support/until.ts";

const startNamed = (name: string): Promise<TestServer> =>
  startServer((request, response) => response.end(`${name} ${request.headers.host} ${request.url}`));
const text = async (agent: BalancerAgent, url: string): Promise<string> =>
  await (await agent.fetch(url)).text();
const cause = async (agent: BalancerAgent, url: string): Promise<unknown> =>
  (await rejection(agent.fetch(url))).cause;

test("calls go to the service that the host names, and straight through else", async () => {
  await using orders = await startNamed("orders");
  await using users = await startNamed("users");
  await using outside = await startNamed("outside");
  await using agent = new BalancerAgent({
    services: { orders: { discovery: [orders.address] }, "Users:8443": { discovery: [users.address] } },
  });
  const host = ({ address }: TestServer): string => new URL(address).host;
  expect(await text(agent, "http://orders/v1")).toBe(`orders ${host(orders)} /v1`);
  expect(await text(agent, "http://ORDERS:80/v2")).toBe(`orders ${host(orders)} /v2`);
  expect(await text(agent, "http://users:8443/v1")).toBe(`users ${host(users)} /v1`);
  expect(await text(agent, `${outside.address}/v1`)).toBe(`outside ${host(outside)} /v1`);
  // A node's own address is a host like any other.
  expect(await text(agent, `${orders.address}/v3`)).toBe(`orders ${host(orders)} /v3`);
  expect(agent.balancer("orders").nodes[0]?.calls).toBe(2);
  expect([...agent.services]).toEqual([
    ["orders", agent.balancer("ORDERS")],
    ["users:8443", agent.balancer("users:8443")],
  ]);
});

test("every call of undici's takes the agent as its dispatcher", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({ services: { orders: { discovery: [server.address] } } });
  const answers = [
    await agent.request({ origin: "http://orders", path: "/a", method: "GET" }),
    await agent.request({ origin: new URL("http://orders"), path: "/b", method: "GET" }),
    await undiciRequest("http://orders/c", { dispatcher: agent }),
    await undiciRequest(`${server.address}/d`, { dispatcher: agent }),
  ];
  for (const { body } of answers) expect(await body.text()).toBe("ok");
  expect(server.arrivals.map(({ url }) => url)).toEqual(["/a", "/b", "/c", "/d"]);
  expect(agent.balancer("orders").nodes[0]?.calls).toBe(3);
});

test("the scheme is the Balancer's affair: https never reaches an http node", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({
    services: { orders: { discovery: [server.address] }, "users:8443": { discovery: [server.address] } },
  });
  expect(await cause(agent, "https://orders/")).toMatchObject({ code: "ERR_CONFIG", service: "orders" });
  expect(await cause(agent, "https://users:8443/")).toMatchObject({
    code: "ERR_CONFIG",
    service: "users:8443",
  });
  expect(await rejection(agent.request({ origin: "ftp://orders", path: "/", method: "GET" }))).toBeInstanceOf(
    TypeError,
  );
  expect(server.arrivals).toHaveLength(0);
});

test("a host with a port goes before the same host without one", async () => {
  await using plain = await startNamed("plain");
  await using secure = await startNamed("port 80");
  await using agent = new BalancerAgent({
    services: { orders: { discovery: [plain.address] }, "orders:80": { discovery: [secure.address] } },
  });
  expect(await text(agent, "http://orders/")).toMatch(/^port 80/);
  expect(await cause(agent, "https://orders/")).toMatchObject({ service: "orders" });
});

test("alternating origins, and a URL object that changes, go where they name at that time", async () => {
  await using orders = await startNamed("orders");
  await using users = await startNamed("users");
  await using agent = new BalancerAgent({
    services: { orders: { discovery: [orders.address] }, users: { discovery: [users.address] } },
  });
  const origin = new URL("http://orders");
  for (const name of ["orders", "users", "orders", "orders", "users"]) {
    origin.host = name;
    const { body } = await agent.request({ origin, path: "/", method: "GET" });
    expect(await body.text()).toMatch(new RegExp(`^${name} `));
    expect(await text(agent, `http://${name}/`)).toMatch(new RegExp(`^${name} `));
  }
});

test.each([undefined, "", "orders", "/orders", 5])(
  "an origin that is none (%j) is undici's error",
  async (origin) => {
    await using agent = new BalancerAgent({
      services: { orders: { discovery: [] } },
      resolve: () => undefined,
    });
    const handler = new RecordingHandler();
    agent.dispatch({ origin: origin as string, path: "/", method: "GET" }, handler);
    await until("an error", () => handler.error !== undefined, 2_000);
    expect(handler.events).toEqual(["error"]);
  },
);

test("a handler that is none is a TypeError", async () => {
  await using agent = new BalancerAgent();
  const options = { origin: "http://orders", path: "/", method: "GET" } as const;
  expect(() => agent.dispatch(options, null as unknown as Dispatcher.DispatchHandler)).toThrow(TypeError);
});

test("agent.fetch is bound, has the type of fetch, and takes whole URLs only", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({ services: { orders: { discovery: [server.address] } } });
  expectTypeOf(agent.fetch).toEqualTypeOf<typeof globalThis.fetch>();
  const { fetch }: { fetch: typeof globalThis.fetch } = agent;
  expect(await (await fetch(new Request("http://orders/x"))).text()).toBe("ok");
  expect(await (await fetch(new URL("http://orders/x"))).text()).toBe("ok");
  await expect(fetch("/x")).rejects.toBeInstanceOf(TypeError);
});

test("redirects: to another service, to the same one, to anywhere else", async () => {
  await using outside = await startNamed("outside");
  await using users = await startNamed("users");
  await using orders = await startServer((request, response) => {
    if (request.url === "/here") response.end("orders");
    else
      response
        .writeHead(307, {
          location: new URL(request.url as string, "http://orders").searchParams.get("to") ?? "",
        })
        .end();
  });
  await using agent = new BalancerAgent({
    services: { orders: { discovery: [orders.address] }, users: { discovery: [users.address] } },
  });
  expect(await text(agent, "http://orders/?to=/here")).toBe("orders");
  expect(await text(agent, "http://orders/?to=http://users/x")).toMatch(/^users .* \/x$/);
  expect(await text(agent, `http://orders/?to=${outside.address}/y`)).toMatch(/^outside .* \/y$/);
  const composed = agent.compose(interceptors.redirect({ maxRedirections: 2 }));
  const { body } = await composed.request({
    origin: "http://orders",
    path: "/?to=http://users/z",
    method: "GET",
  });
  expect(await body.text()).toMatch(/^users .* \/z$/);
  // Credentials are fetch's business: it does not take them to another origin.
  await (
    await agent.fetch("http://orders/?to=http://users/x", { headers: { authorization: "secret" } })
  ).text();
  expect(orders.arrivals.at(-1)?.headers.authorization).toBe("secret");
  expect(users.arrivals.at(-1)?.headers.authorization).toBeUndefined();
});

test("resolve is asked once for a host that is not known, whatever it answers", async () => {
  await using one = await startNamed("one");
  await using outside = await startNamed("outside");
  const asked: string[] = [];
  await using agent = new BalancerAgent({
    services: { orders: { discovery: [one.address] } },
    defaults: { timeouts: { totalMs: 1_234 } },
    resolve(host) {
      asked.push(host);
      return host.endsWith(".svc") || host === "users.svc:8443" ? { discovery: [one.address] } : undefined;
    },
  });
  for (let round = 0; round < 3; round++) {
    expect(await text(agent, "http://orders/")).toMatch(/^one /);
    expect(await text(agent, "http://USERS.svc/")).toMatch(/^one /);
    expect(await text(agent, "http://users.svc:8443/")).toMatch(/^one /);
    expect(await text(agent, `${outside.address}/`)).toMatch(/^outside /);
  }
  expect(await cause(agent, "https://users.svc/"), "the same host").toMatchObject({ code: "ERR_CONFIG" });
  expect(asked).toEqual(["users.svc", "users.svc:8443", new URL(outside.address).host]);
  expect([...agent.services.keys()]).toEqual(["orders", "users.svc", "users.svc:8443"]);
  expect(agent.balancer("users.svc").cluster.options.timeouts.totalMs).toBe(1_234);
  expect(agent.balancer("more.svc").name).toBe("more.svc");
  expect(() => agent.balancer("other")).toThrow(/^there is no service "other"; services: orders, users.svc/);
});

test("resolve may answer with a Balancer or a Cluster of the program's own, which stays open", async () => {
  await using server = await startServer();
  await using orders = new Balancer({ name: "orders", discovery: [server.address] });
  await using users = new Cluster({ name: "users", discovery: [server.address] });
  const agent = new BalancerAgent({
    resolve: (host) => (host === "orders" ? orders : host === "users" ? users : undefined),
  });
  expect(await text(agent, "http://orders/")).toBe("ok");
  expect(await text(agent, "http://users/")).toBe("ok");
  expect(agent.balancer("orders")).toBe(orders);
  expect(agent.balancer("users").cluster).toBe(users);
  await agent.close();
  expect([orders.closed, users.closed]).toEqual([false, false]);
  expect(orders.listenerCount("connect"), "nothing of the agent is left on it").toBe(0);
});

test.each<[string, () => unknown, string]>([
  [
    "throws",
    () => {
      throw new Error("registry is gone");
    },
    "registry is gone",
  ],
  [
    "answers with nonsense",
    () => 5,
    'resolve("orders") must be an object of options, a Balancer or a Cluster, got 5',
  ],
  [
    "answers with a promise",
    () => Promise.resolve({}),
    'resolve("orders") must be known at once, and is a promise',
  ],
  [
    "has a bad option",
    () => ({ discovery: [], retry: { attempt: 2 } }),
    'unknown option resolve("orders").retry.attempt (2); did you mean "attempts"?',
  ],
])("when resolve %s, that is the call's error, and it is asked again", async (_, resolve, message) => {
  let asked = 0;
  await using agent = new BalancerAgent({
    resolve() {
      asked++;
      return resolve() as undefined;
    },
  });
  for (const _ of [1, 2]) expect(await cause(agent, "http://orders/")).toMatchObject({ message });
  expect(asked).toBe(2);
  expect(agent.services.size).toBe(0);
});

test("of what resolve named, the last 1,000 services are kept; older ones end their calls and close", async () => {
  await using server = await startServer((request, response) => {
    if (request.url === "/slow") setTimeout(() => response.end("slow"), 100);
    else response.end("ok");
  });
  const asked: string[] = [];
  await using agent = new BalancerAgent({
    resolve(host) {
      asked.push(host);
      return { discovery: [server.address] };
    },
  });
  const first = agent.balancer("s0");
  const slow = text(agent, "http://s0/slow");
  await until("arrival", () => server.arrivals.length === 1, 2_000);
  for (let index = 1; index <= 1_000; index++) agent.balancer(`s${index}`);
  expect(agent.services.size).toBe(1_000);
  expect(first.closed).toBe(true);
  expect(await slow).toBe("slow");
  expect(await text(agent, "http://s0/")).toBe("ok");
  expect(asked.filter((host) => host === "s0")).toHaveLength(2);
  expect(agent.balancer("s0")).not.toBe(first);
  expect(agent.services.has("s1")).toBe(false);
});

test("other hosts go through a dispatcher that was handed in, which stays open", async () => {
  const mock = new MockAgent();
  mock.disableNetConnect();
  mock.get("http://elsewhere").intercept({ path: "/" }).reply(200, "mocked");
  const agent = new BalancerAgent({ passThrough: mock });
  expect(await text(agent, "http://elsewhere/")).toBe("mocked");
  await agent.close();
  mock.get("http://elsewhere").intercept({ path: "/" }).reply(200, "still");
  const { body } = await mock.request({ origin: "http://elsewhere", path: "/", method: "GET" });
  expect(await body.text()).toBe("still");
  await mock.close();
});

test("services are watched from the start, and ready waits for all of them", async () => {
  await using server = await startServer();
  const watched: string[] = [];
  const discovery: Discovery = {
    async *watch({ service }) {
      watched.push(service);
      yield [{ address: server.address }];
    },
  };
  await using agent = new BalancerAgent({ defaults: { discovery }, services: { orders: {}, users: {} } });
  expect(watched).toEqual(["orders", "users"]);
  await agent.ready();
  expect([...agent.services.values()].map(({ nodes }) => nodes.length)).toEqual([1, 1]);
  await using without = new BalancerAgent({
    services: { orders: { discovery: [server.address] }, users: { discovery: [] } },
  });
  expect(await rejection(without.ready({ timeoutMs: 20 }))).toMatchObject({
    code: "ERR_NO_NODE",
    service: "users",
  });
  await new BalancerAgent().ready();
});

test("of hosts that calls went straight through to, nothing is kept when their connections have closed", async () => {
  await using agent = new BalancerAgent();
  const { pools } = agent as unknown as { readonly pools: ReadonlySet<unknown> };
  {
    await using server = await startServer();
    await text(agent, server.address);
    expect(pools.size).toBe(1);
  }
  await until("no pool", () => pools.size === 0, 2_000);
});

test("connections that are made and lost are told, as undici's Agent does", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({ services: { orders: { discovery: [server.address] } } });
  const connected: unknown[] = [];
  agent.on("connect", (origin, targets) => connected.push([origin.host, targets[0] === agent, targets[1]]));
  await text(agent, "http://orders/");
  await text(agent, server.address);
  const { host } = new URL(server.address);
  expect(connected).toMatchObject([
    [host, true, agent.balancer("orders")],
    [host, true, expect.anything()],
  ]);
});

const forms: [string, (agent: BalancerAgent) => Promise<unknown>][] = [
  ["close", (agent) => agent.close()],
  ["close with a callback", (agent) => new Promise<void>((resolve) => agent.close(resolve))],
  ["await using", (agent) => agent[Symbol.asyncDispose]()],
];

test.each(forms)(
  "%s waits for calls under way, of services and others, and refuses new ones",
  async (_, close) => {
    await using server = await startServer((_, response) => setTimeout(() => response.end("slow"), 100));
    await using users = new Cluster({ name: "users", discovery: [server.address] });
    const agent = new BalancerAgent({ services: { orders: { discovery: [server.address] }, users } });
    const running = ["http://orders/", "http://users/", server.address].map((url) => text(agent, url));
    await until("arrivals", () => server.arrivals.length === 3, 2_000);
    const closing = close(agent);
    expect([agent.closed, agent.destroyed]).toEqual([true, false]);
    for (const url of ["http://orders/", server.address, "http://new/"]) {
      expect(await cause(agent, url)).toMatchObject({ code: "ERR_CLOSED" });
    }
    expect(await rejection(agent.ready())).toMatchObject({ code: "ERR_CLOSED" });
    await closing;
    expect(await Promise.all(running)).toEqual(["slow", "slow", "slow"]);
    await until("no connection", () => server.open.size === 0, 2_000);
    expect([agent.balancer("orders").closed, agent.balancer("users").closed, users.closed]).toEqual([
      true,
      true,
      false,
    ]);
    await Promise.all([agent.close(), agent.destroy(), new Promise<void>((resolve) => agent.close(resolve))]);
  },
);

test.each<[string, (agent: BalancerAgent, error: Error) => Promise<unknown>]>([
  ["a promise", (agent, error) => agent.destroy(error)],
  ["a callback", (agent, error) => new Promise<void>((resolve) => agent.destroy(error, resolve))],
])(
  "destroy, as %s, fails what runs with its error, and leaves a given Balancer alone",
  async (_, destroy) => {
    await using server = await startServer(() => {});
    await using users = new Balancer({ name: "users", discovery: [server.address] });
    const agent = new BalancerAgent({ services: { orders: { discovery: [server.address] }, users } });
    const failing = ["http://orders", server.address].map((origin) =>
      rejection(agent.request({ origin, path: "/", method: "GET" })),
    );
    const running = rejection(agent.request({ origin: "http://users", path: "/", method: "GET" }));
    await until("arrivals", () => server.arrivals.length === 3, 2_000);
    const closing = agent.close();
    const reason = new Error("shutting down");
    await destroy(agent, reason);
    for (const error of await Promise.all(failing)) expect(error).toBe(reason);
    await closing;
    expect([users.closed, agent.destroyed]).toEqual([false, true]);
    await users.destroy(reason);
    expect(await running).toBe(reason);
    await new Promise<void>((resolve) => agent.destroy(resolve));
  },
);

test("compose, also for fetch and for what the agent has", async () => {
  await using server = await startServer();
  await using agent = new BalancerAgent({ services: { orders: { discovery: [server.address] } } });
  const tag: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) =>
    dispatch({ ...options, headers: { "x-tag": "1" } }, handler);
  const composed = agent.compose([tag]) as unknown as BalancerAgent;
  await text(composed, "http://orders/");
  await text(composed, server.address);
  await text(agent, "http://orders/");
  expect(server.arrivals.map(({ headers }) => headers["x-tag"])).toEqual(["1", "1", undefined]);
  expect(composed.balancer("orders")).toBe(agent.balancer("orders"));
  await composed.ready();
  await composed.close();
  expect([composed.closed, agent.closed]).toEqual([true, true]);
});

test("a composed Balancer's retries and a plain Agent work side by side under one agent", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503).end());
  await using good = await startServer();
  const passThrough = new Agent();
  const options: BalancerAgentOptions = {
    services: { orders: { discovery: [bad.address, good.address] } },
    passThrough,
  };
  await using agent = new BalancerAgent(options);
  for (let call = 0; call < 20; call++) expect(await text(agent, "http://orders/")).toBe("ok");
  expect((await agent.fetch(bad.address)).status, "nothing is retried straight through").toBe(503);
  await expectIdle(agent.balancer("orders"));
  await passThrough.close();
});
