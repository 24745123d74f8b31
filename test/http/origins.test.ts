/** Which origins a balancer takes: its own name only, and https only where the node is https. */
import { expect, test } from "vitest";
import { Balancer } from "../../src/index.ts";
import { expectNoBlame, inflight, rejection, startBalancer } from "./support/balancers.ts";
import { startServer } from "./support/server.ts";

test.each<[string, string | URL | undefined]>([
  ["none", undefined],
  ["its name", "http://orders"],
  ["its name as a URL object", new URL("http://orders")],
  ["its name with a path, which is not the origin's", "http://orders/ignored"],
  ["its name in capitals", "HTTP://ORDERS"],
  ["its name with the default port", "http://orders:80"],
  ["its name with user info, which is not used, as in undici", "http://users:secret@orders"],
])("takes %s", async (_, origin) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const options = { path: "/", method: "GET" } as const;
  const { body } = await balancer.request(origin === undefined ? options : { ...options, origin });
  expect(await body.text()).toBe("ok");
  expect(server.arrivals[0]?.url).toBe("/");
});

test.each<[string, unknown]>([
  ["another host", "http://users"],
  ["a host that only begins like it", "http://orders.example"],
  ["another port", "http://orders:8080"],
  ["the name as user info of another host", "http://orders@users"],
  ["the name as password of another host", "http://x:orders@users/orders"],
  ["another scheme", "ftp://orders"],
  ["no URL", "orders"],
  ["an empty text", ""],
  ["a number", 5],
])("refuses %s with a TypeError", async (_, origin) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const options = { path: "/", method: "GET", origin: origin as string } as const;
  const error = await rejection(balancer.request(options));
  expect(error).toBeInstanceOf(TypeError);
  expect(error.message).toMatch(/^orders: origin .* is not this service's; expected http:\/\/orders$/s);
  expect(server.arrivals).toHaveLength(0);
  expect(inflight(balancer)).toBe(0);
});

test("refuses the address of its own node", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  await expect(balancer.request({ origin: server.address, path: "/", method: "GET" })).rejects.toBeInstanceOf(
    TypeError,
  );
});

test("still refuses another origin after its own, and a URL object that was changed", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const origin = new URL("http://orders");
  const call = (): Promise<unknown> => balancer.request({ origin, path: "/", method: "GET" });
  await call();
  await balancer.request({ origin: "http://orders", path: "/", method: "GET" });
  origin.host = "users";
  await expect(call()).rejects.toBeInstanceOf(TypeError);
  await expect(balancer.request({ origin: "http://users", path: "/", method: "GET" })).rejects.toBeInstanceOf(
    TypeError,
  );
});

test("a name with a port is matched with its port", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { name: "users:8443" });
  expect(await (await balancer.fetch("/")).text()).toBe("ok");
  expect(await (await balancer.fetch("http://users:8443/")).text()).toBe("ok");
  expect((await rejection(balancer.fetch("http://users/"))).cause).toBeInstanceOf(TypeError);
});

test.each([
  ["users:80", "http://users/", "http://users:80/", "http://users:443/"],
  ["users:443", "http://users:443/", "http://users:443/", "http://users/"],
])("the name %s has a port that URLs leave out", async (name, one, two, foreign) => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { name });
  for (const url of ["/", one, two]) expect((await balancer.fetch(url)).status).toBe(200);
  expect((await rejection(balancer.fetch(foreign))).cause).toBeInstanceOf(TypeError);
  const secure = (await rejection(balancer.fetch(`https://users:${name.slice(6)}/`))).cause;
  expect(secure, "ours, but no node is https").toMatchObject({ code: "ERR_CONFIG" });
});

test("an https: URL never reaches an http: node, by origin, by fetch or by redirect", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const request = balancer.request({ origin: "https://orders", path: "/", method: "GET" });
  const error = await rejection(request);
  expect(error).toMatchObject({ name: "BalancerError", code: "ERR_CONFIG" });
  expect(error.message).toContain(server.address);
  expect((await rejection(balancer.fetch("https://orders/"))).cause).toMatchObject({ code: "ERR_CONFIG" });
  expect(server.accepted).toBe(0);
  expectNoBlame(balancer);
  expect(inflight(balancer)).toBe(0);
});

test.each(["", "a/b", "a b", "user@host", "a?b", "[::1"])("refuses the name %j", (name) => {
  expect(() => new Balancer({ name, discovery: [] })).toThrow(TypeError);
});
