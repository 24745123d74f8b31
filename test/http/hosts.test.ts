/** The Host header that each kind of node gets, and TLS: whose name must be on the certificate. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { rejection, startBalancer } from "./support/balancers.ts";
import {
  type Arrival,
  arrive,
  listen,
  startServer,
  startTcpServer,
  type TestServer,
} from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;

let folder: string;
let ca: Buffer;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "evenkeel-tls-"));
  openssl(
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem",
  );
  ca = readFileSync(join(folder, "ca.pem"));
});

afterAll(() => rmSync(folder, { recursive: true }));

function openssl(command: string): void {
  execFileSync("openssl", command.split(" "), { cwd: folder, stdio: "ignore" });
}

/** An https server whose certificate, signed by the test's own authority, is for `name` alone. */
async function startTlsServer(
  name: string,
): Promise<TestServer & { readonly servernames: readonly unknown[] }> {
  openssl(
    `req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=${name} -addext subjectAltName=DNS:${name} -keyout ${name}.key -out ${name}.csr`,
  );
  openssl(
    `x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy -out ${name}.pem`,
  );
  const arrivals: Arrival[] = [];
  const servernames: unknown[] = [];
  const server = createHttpsServer(
    { key: readFileSync(join(folder, `${name}.key`)), cert: readFileSync(join(folder, `${name}.pem`)) },
    (request, response) => {
      arrivals.push(arrive(request));
      servernames.push((request.socket as TLSSocket & { servername: unknown }).servername);
      response.end("secure");
    },
  );
  server.on("tlsClientError", () => {});
  return Object.assign(await listen(server, arrivals, undefined, "https"), { servernames });
}

test("an IP node over http gets its own address", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  await (await balancer.request(get)).body.text();
  await (await balancer.fetch("http://orders/")).text();
  for (const { headers } of server.arrivals) expect(headers.host).toBe(`127.0.0.1:${server.port}`);
});

test("an IP node gets `host` if that is set", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { host: "orders.example:81" });
  await (await balancer.request(get)).body.text();
  expect(server.arrivals[0]?.headers.host).toBe("orders.example:81");
});

test("a DNS-named node gets its own name, whatever `host` says", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([`http://localhost:${server.port}`], { host: "orders.example" });
  await (await balancer.request(get)).body.text();
  expect(server.arrivals[0]?.headers.host).toBe(`localhost:${server.port}`);
});

test("a Host header of the call's own wins", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  await (await balancer.request({ ...get, headers: { host: "tenant.example" } })).body.text();
  expect(server.arrivals[0]?.headers.host).toBe("tenant.example");
});

test("a Unix socket gets the service's name, or `host`", async () => {
  const arrivals: Arrival[] = [];
  const http = createHttpServer((request, response) => {
    arrivals.push(arrive(request));
    response.end("local");
  });
  await using server = await listen(http, arrivals, { path: join(folder, "orders.sock") });
  await using named = startBalancer([server]);
  expect(await (await named.request({ path: "/", method: "PUT", body: "x" })).body.text()).toBe("local");
  expect(await (await named.fetch("/")).text()).toBe("local");
  await using hosted = startBalancer([server], { host: "orders.example" });
  await (await hosted.request(get)).body.text();
  expect(arrivals.map(({ headers }) => headers.host)).toEqual(["orders", "orders", "orders.example"]);
});

test("a Unix socket that is not there is refused, and another node takes the call", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([`unix:${join(folder, "nobody.sock")}`, server]);
  const { body } = await balancer.request({ path: "/", method: "POST", body: "x" });
  expect(await body.text()).toBe("ok");
  expect(balancer.nodes[0]).toMatchObject({ state: "down" });
});

test("an IP node over https: the service's name is Host, SNI and what the certificate must say", async () => {
  await using server = await startTlsServer("orders");
  await using balancer = startBalancer([server], { tls: { ca } });
  expect(await (await balancer.request(get)).body.text()).toBe("secure");
  expect(await (await balancer.fetch("https://orders/")).text()).toBe("secure");
  expect(await (await balancer.fetch("/plain-url")).text()).toBe("secure");
  expect(server.arrivals.map(({ headers }) => headers.host)).toEqual(["orders", "orders", "orders"]);
  expect(server.servernames).toEqual(["orders", "orders", "orders"]);
  expect(balancer.nodes[0]).toMatchObject({ failures: 0 });
});

test("a Host header of the call's own changes neither SNI nor connection", async () => {
  await using server = await startTlsServer("orders");
  await using balancer = startBalancer([server], { tls: { ca }, connections: { perNode: 1 } });
  for (const host of ["one.example", "two.example"]) {
    await (await balancer.request({ ...get, headers: { host } })).body.text();
  }
  expect(server.arrivals.map(({ headers }) => headers.host)).toEqual(["one.example", "two.example"]);
  expect(server.servernames).toEqual(["orders", "orders"]);
  expect(server.accepted, "connections").toBe(1);
});

test("tls.servername is what the certificate must say, if set", async () => {
  await using server = await startTlsServer("inner.example");
  await using balancer = startBalancer([server], { tls: { ca, servername: "inner.example" } });
  await (await balancer.request(get)).body.text();
  expect(server.servernames).toEqual(["inner.example"]);
  expect(server.arrivals[0]?.headers.host).toBe("orders");
});

test("a DNS-named node over https: its own name", async () => {
  await using server = await startTlsServer("localhost");
  await using balancer = startBalancer([`https://localhost:${server.port}`], { tls: { ca } });
  await (await balancer.request(get)).body.text();
  expect(server.servernames).toEqual(["localhost"]);
  expect(server.arrivals[0]?.headers.host).toBe(`localhost:${server.port}`);
});

test.each<[string, string, boolean, string]>([
  ["a certificate for another name", "users", true, "ERR_TLS_CERT_ALTNAME_INVALID"],
  ["an authority that is not known", "orders", false, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
])("%s is refused before anything is sent, and counts against the node", async (_, name, known, code) => {
  await using server = await startTlsServer(name);
  await using balancer = startBalancer([server], { tls: known ? { ca } : {}, retry: false });
  for (let call = 0; call < 3; call++) {
    const error = await rejection(balancer.request({ path: "/", method: "POST", body: "secret" }));
    expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: { code } });
  }
  expect(server.arrivals).toHaveLength(0);
  expect(balancer.nodes[0]).toMatchObject({ failures: 3, inflight: 0 });
});

test("an https node that speaks plain http gets no plaintext", async () => {
  const received: Buffer[] = [];
  await using server = await startTcpServer((socket) => {
    socket.on("data", (chunk: Buffer) => {
      received.push(chunk);
      socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
  });
  await using balancer = startBalancer([`https://127.0.0.1:${server.port}`], { tls: { ca }, retry: false });
  const options = { path: "/secret-path", method: "POST", body: "secret-body" } as const;
  expect(await rejection(balancer.request(options))).toMatchObject({ code: "ERR_NO_NODE" });
  expect(Buffer.concat(received).length).toBeGreaterThan(0);
  expect(Buffer.concat(received).toString("latin1")).not.toContain("secret");
});

test("connectMs includes the TLS handshake", async () => {
  await using silent = await startTcpServer(() => {});
  await using balancer = startBalancer([`https://127.0.0.1:${silent.port}`], {
    timeouts: { connectMs: 150 },
    retry: false,
  });
  const startedAt = performance.now();
  const error = await rejection(balancer.request(get));
  expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: { code: "UND_ERR_CONNECT_TIMEOUT" } });
  expect(performance.now() - startedAt).toBeLessThan(700);
});
