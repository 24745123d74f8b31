/** `balancer.fetch`: everything that the WHATWG fetch takes, on paths of one service. */
import { gzipSync } from "node:zlib";
import * as undici from "undici";
import { expect, test } from "vitest";
import { expectIdle, rejection, startBalancer } from "./support/balancers.ts";
import { startServer } from "./support/server.ts";

type Input = Parameters<typeof globalThis.fetch>[0];

test.each<[string, () => Input]>([
  ["a path", () => "/v1/orders?x=1"],
  ["a URL on the service's name", () => "http://orders/v1/orders?x=1"],
  ["the name in another case", () => "http://ORDERS/v1/orders?x=1"],
  ["a URL object", () => new URL("http://orders/v1/orders?x=1")],
  ["a Request of undici", () => new undici.Request("http://orders/v1/orders?x=1") as unknown as Request],
  ["a Request of the built-in fetch", () => new Request("http://orders/v1/orders?x=1")],
])("takes %s", async (_, input) => {
  await using server = await startServer((request, response) => response.end(`got ${request.url}`));
  await using balancer = startBalancer([server]);
  const response = await balancer.fetch(input());
  expect(response.status).toBe(200);
  expect(response.url).toBe("http://orders/v1/orders?x=1");
  expect(await response.text()).toBe("got /v1/orders?x=1");
  await expectIdle(balancer);
});

test("is bound, and assignable to the type of fetch", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const { fetch }: { fetch: typeof globalThis.fetch } = balancer;
  expect(await (await fetch("/")).text()).toBe("ok");
});

test.each([
  ["undici", undici.FormData as unknown as typeof FormData],
  ["the built-in fetch", FormData],
])("sends FormData of %s", async (_, OneFormData) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const form = new OneFormData();
  form.append("text", "söme");
  form.append("file", new Blob(["content"], { type: "text/plain" }), "name.txt");
  await (await balancer.fetch("/", { method: "POST", body: form })).text();
  const arrival = server.arrivals[0];
  expect(arrival?.headers["content-type"]).toMatch(/^multipart\/form-data; boundary=/);
  const body = String(await arrival?.body);
  expect(body).toContain('name="text"\r\n\r\nsöme\r\n');
  expect(body).toContain('name="file"; filename="name.txt"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n');
});

test.each([
  ["undici's Request", undici.Request as unknown as typeof Request],
  ["the built-in Request", Request],
])("sends method, headers and body of %s", async (_, OneRequest) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const request = new OneRequest("http://orders/a", {
    method: "PATCH",
    headers: { "x-a": "1", "content-type": "text/csv" },
    body: "a,b",
  });
  await (await balancer.fetch(request)).text();
  expect(server.arrivals[0]).toMatchObject({
    method: "PATCH",
    headers: { "x-a": "1", "content-type": "text/csv" },
  });
  expect(String(await server.arrivals[0]?.body)).toBe("a,b");
  // Spent, as it is with any fetch.
  expect(request.bodyUsed).toBe(true);
  await expect(balancer.fetch(request)).rejects.toBeInstanceOf(TypeError);
});

test("options given beside a Request win over it", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const request = new Request("http://orders/a", { headers: { "x-a": "1" } });
  const init = { method: "PUT", headers: { "x-a": "2" }, body: "new" };
  await (await balancer.fetch(request, init)).text();
  expect(server.arrivals[0]).toMatchObject({ method: "PUT", headers: { "x-a": "2" } });
});

test.each<[string, RequestInit["headers"]]>([
  ["an object", { "x-a": "1" }],
  ["pairs", [["x-a", "1"]]],
  ["Headers of undici", new undici.Headers({ "x-a": "1" }) as unknown as Headers],
  ["Headers of the built-in fetch", new Headers({ "x-a": "1" })],
])("sends headers from %s", async (_, headers) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  await (await balancer.fetch("/", headers === undefined ? {} : { headers })).text();
  expect(server.arrivals[0]?.headers["x-a"]).toBe("1");
});

test("unpacks gzip", async () => {
  await using server = await startServer((_, response) => {
    response.setHeader("content-encoding", "gzip");
    response.end(gzipSync("unpacked"));
  });
  await using balancer = startBalancer([server]);
  const response = await balancer.fetch("/");
  expect(await response.text()).toBe("unpacked");
});

test("follows redirects within the service", async () => {
  await using server = await startServer((request, response) => {
    if (request.url === "/relative") response.writeHead(302, { location: "/absolute" }).end();
    else if (request.url === "/absolute") response.writeHead(302, { location: "http://orders/end" }).end();
    else response.end("there");
  });
  await using balancer = startBalancer([server]);
  const response = await balancer.fetch("/relative");
  expect(await response.text()).toBe("there");
  expect(response).toMatchObject({ redirected: true, url: "http://orders/end" });
  await expectIdle(balancer);
});

test("refuses a redirect to another origin, and sends nothing there", async () => {
  await using other = await startServer();
  await using server = await startServer((_, response) => {
    response.writeHead(302, { location: `${other.address}/secret` }).end();
  });
  await using balancer = startBalancer([server]);
  const error = await rejection(balancer.fetch("/"));
  expect(error).toBeInstanceOf(TypeError);
  expect(error.cause).toBeInstanceOf(TypeError);
  expect(String((error.cause as Error).message)).toContain("is not this service's");
  expect(other.arrivals).toHaveLength(0);
  expect(server.arrivals).toHaveLength(1);
  await expectIdle(balancer);
});

test("refuses a redirect from http to an https URL that only http nodes could take", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(302, { location: "https://orders/secret" }).end();
  });
  await using balancer = startBalancer([server]);
  const error = await rejection(balancer.fetch("/"));
  expect(error.cause).toMatchObject({ code: "ERR_CONFIG" });
  expect(server.arrivals).toHaveLength(1);
});

test("fails with a TypeError whose cause says what happened", async () => {
  await using balancer = startBalancer([], { timeouts: { connectMs: 50 } });
  const error = await rejection(balancer.fetch("/"));
  expect(error).toBeInstanceOf(TypeError);
  expect(error.cause).toMatchObject({ name: "BalancerError", code: "ERR_NO_NODE" });
});
