/** Interceptors over a Balancer, and the Balancer as everybody's dispatcher. */
import {
  type Dispatcher,
  getGlobalDispatcher,
  interceptors,
  setGlobalDispatcher,
  fetch as undiciFetch,
} from "undici";
import { expect, test } from "vitest";
import { expectIdle, rejection, startBalancer } from "./support/balancers.ts";
import { startServer } from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;

/** Adds a header to each request. */
const tag =
  (name: string): Dispatcher.DispatcherComposeInterceptor =>
  (dispatch) =>
  (options, handler) =>
    dispatch({ ...options, headers: { ...(options.headers as object), [name]: "1" } }, handler);

test("an interceptor of one's own, also for fetch of the composed dispatcher", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const composed = balancer
    .compose(tag("x-a"), tag("x-b"))
    .compose([tag("x-c")]) as unknown as typeof balancer;
  await (await composed.request(get)).body.text();
  await (await composed.fetch("/fetched", { headers: { "x-own": "1" } })).text();
  await (await balancer.request(get)).body.text();
  await (await balancer.fetch("/plain")).text();
  const [requested, fetched, plain, plainFetched] = server.arrivals;
  for (const arrival of [requested, fetched]) {
    expect(arrival?.headers).toMatchObject({ "x-a": "1", "x-b": "1", "x-c": "1" });
  }
  expect(fetched?.headers["x-own"]).toBe("1");
  for (const arrival of [plain, plainFetched]) expect(arrival?.headers["x-a"]).toBeUndefined();
});

test("a composed dispatcher has all that the balancer has", async () => {
  await using server = await startServer();
  const balancer = startBalancer([server]);
  const composed = balancer.compose(tag("x-a")) as unknown as typeof balancer;
  expect(composed.name).toBe("orders");
  await composed.ready();
  expect(composed.nodes).toHaveLength(1);
  expect(composed.drain(server.address)).toBe(true);
  expect(composed.undrain(server.address)).toBe(true);
  expect(String(composed.explain())).toContain(server.address);
  expect(composed.closed).toBe(false);
  await composed.close();
  expect([composed.closed, balancer.closed]).toEqual([true, true]);
  await composed.destroy();
  expect(balancer.destroyed).toBe(true);
});

test("undici's retry", async () => {
  let calls = 0;
  await using server = await startServer((_, response) => {
    if (++calls <= 2) response.writeHead(500).end();
    else response.end("ok");
  });
  await using balancer = startBalancer([server], { health: { ejection: false } });
  const composed = balancer.compose(
    interceptors.retry({ maxRetries: 3, minTimeout: 5, statusCodes: [500], methods: ["GET"] }),
  );
  expect(await (await composed.request({ ...get, origin: "http://orders" })).body.text()).toBe("ok");
  expect(calls).toBe(3);
  await expectIdle(balancer);
});

test("undici's redirect stays within the service", async () => {
  await using other = await startServer();
  await using server = await startServer((request, response) => {
    if (request.url === "/") response.writeHead(302, { location: "/end" }).end();
    else if (request.url === "/out") response.writeHead(302, { location: `${other.address}/` }).end();
    else response.end("there");
  });
  await using balancer = startBalancer([server]);
  const composed = balancer.compose(interceptors.redirect({ maxRedirections: 3 }));
  const origin = "http://orders";
  expect(await (await composed.request({ ...get, origin })).body.text()).toBe("there");
  const out = await rejection(composed.request({ path: "/out", method: "GET", origin }));
  expect(out).toBeInstanceOf(TypeError);
  expect(other.arrivals).toHaveLength(0);
  await expectIdle(balancer);
});

test("undici's dump, decompress and responseError", async () => {
  await using server = await startServer((request, response) => {
    response.writeHead(request.url === "/bad" ? 404 : 200, { "content-type": "application/json" });
    response.end('{"a":1}');
  });
  await using balancer = startBalancer([server]);
  const dumped = balancer.compose(interceptors.dump({ maxSize: 1_024 }));
  expect(await (await dumped.request({ ...get, dumpMaxSize: 1_024 } as typeof get)).body.text()).toBe("");
  const strict = balancer.compose(interceptors.responseError(), interceptors.decompress());
  expect(await (await strict.request(get)).body.json()).toEqual({ a: 1 });
  expect(await rejection(strict.request({ path: "/bad", method: "GET" }))).toMatchObject({ statusCode: 404 });
  await expectIdle(balancer);
});

test("an interceptor that answers by itself never reaches a node", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const composed = balancer.compose((dispatch) => (options, handler) => {
    const failing = options.path === "/refused";
    if (!failing) return dispatch(options, handler);
    handler.onResponseError?.(null as unknown as Dispatcher.DispatchController, new Error("refused"));
    return false;
  });
  expect(await rejection(composed.request({ path: "/refused", method: "GET" }))).toMatchObject({
    message: "refused",
  });
  expect(server.arrivals).toHaveLength(0);
});

test("setGlobalDispatcher: undici's fetch and the built-in one call the service by its name", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const before = getGlobalDispatcher();
  setGlobalDispatcher(balancer);
  try {
    expect(await (await undiciFetch("http://orders/a")).text()).toBe("ok");
    expect(await (await fetch("http://orders/b", { method: "PUT", body: "x" })).text()).toBe("ok");
    expect((await rejection(fetch("http://elsewhere/"))).cause).toBeInstanceOf(TypeError);
  } finally {
    setGlobalDispatcher(before);
  }
  expect(server.arrivals.map(({ url }) => url)).toEqual(["/a", "/b"]);
});

test("the built-in fetch takes the balancer as its dispatcher", async () => {
  await using server = await startServer((_, response) => response.end("x".repeat(200_000)));
  await using balancer = startBalancer([server]);
  const init = { dispatcher: balancer } as unknown as RequestInit;
  const response = await fetch("http://orders/", init);
  expect((await response.text()).length).toBe(200_000);
  await expectIdle(balancer);
});
