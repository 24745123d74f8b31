/** HTTP/2: how it is agreed on, how calls share a session, and what becomes of calls when a session ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ConnectionOptions, list } from "../../src/index.ts";
import { startFaultProxy } from "../../src/testing/fault-proxy.ts";
import { type Authority, type Certificate, createAuthority } from "../support/certificates.ts";
import { until } from "../support/until.ts";
import {
  expectIdle,
  expectNoBlame,
  inflight,
  rejection,
  startBalancer,
  type TestBalancer,
} from "./support/balancers.ts";
import {
  answerOk,
  type Http2Answer,
  type Http2TestServer,
  startHttp2Server,
} from "./support/http2-server.ts";
import { startServer } from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;
let authority: Authority;
let certificate: Certificate;

beforeAll(async () => {
  authority = await createAuthority();
  certificate = await authority.issue({ names: ["orders", "shop.example"] });
});
afterAll(async () => {
  await authority[Symbol.asyncDispose]();
});

type Kind = "h2 over TLS" | "h2c";
const kinds: readonly Kind[] = ["h2 over TLS", "h2c"];

async function startNode(kind: Kind, answer?: Http2Answer, maxStreams?: number): Promise<Http2TestServer> {
  const limit = maxStreams === undefined ? {} : { maxStreams };
  return await startHttp2Server(answer, kind === "h2c" ? limit : { certificate, ...limit });
}

function balance(
  kind: Kind,
  nodes: readonly { readonly address: string }[],
  connections: ConnectionOptions = {},
  more: Parameters<typeof startBalancer>[1] = {},
): TestBalancer {
  return startBalancer(nodes, {
    tls: { ca: authority.ca },
    connections: { http2: kind === "h2c" ? "prior-knowledge" : "auto", ...connections },
    ...more,
  });
}

async function call(balancer: TestBalancer, method = "GET", body?: string): Promise<string> {
  const answer = await balancer.request({ path: "/", method, ...(body === undefined ? {} : { body }) });
  return `${answer.statusCode} ${await answer.body.text()}`;
}

test.each(kinds)("%s: many calls at once share one session", async (kind) => {
  let atOnce = 0;
  let most = 0;
  await using node = await startNode(kind, (stream) => {
    most = Math.max(most, ++atOnce);
    setTimeout(() => {
      atOnce--;
      stream.respond({ ":status": 200 });
      stream.end("ok");
    }, 30);
  });
  await using balancer = balance(kind, [node]);
  expect(await Promise.all(Array.from({ length: 60 }, () => call(balancer)))).toEqual(
    Array(60).fill("200 ok"),
  );
  expect(node.sessionCount).toBe(1);
  expect(most).toBeGreaterThan(50);
  await expectIdle(balancer);
});

test.each(kinds)("%s: a session that is full gets a second one beside it", async (kind) => {
  await using node = await startNode(
    kind,
    (stream) => {
      setTimeout(() => {
        stream.respond({ ":status": 200 });
        stream.end("ok");
      }, 50);
    },
    5,
  );
  await using balancer = balance(kind, [node]);
  await call(balancer);
  expect(await Promise.all(Array.from({ length: 10 }, () => call(balancer)))).toEqual(
    Array(10).fill("200 ok"),
  );
  expect(node.sessionCount).toBe(2);
});

test("an https node that speaks HTTP/1.1 only gets as many connections as it needs", async () => {
  const { createServer } = await import("node:https");
  const { listen } = await import("./support/server.ts");
  const server = createServer(certificate, (_, response) => setTimeout(() => response.end("ok"), 30));
  await using node = await listen(server, [], { port: 0, host: "127.0.0.1" }, "https");
  await using balancer = startBalancer([node], { tls: { ca: authority.ca } });
  expect(await Promise.all(Array.from({ length: 8 }, () => call(balancer)))).toEqual(Array(8).fill("200 ok"));
  expect(node.accepted).toBeGreaterThan(4);
});

test("http2: never speaks HTTP/1.1 to a node that offers both", async () => {
  const { createSecureServer } = await import("node:http2");
  const versions: string[] = [];
  const server = createSecureServer({ ...certificate, allowHTTP1: true }, (request, response) => {
    versions.push(request.httpVersion);
    response.end("ok");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  for (const http2 of ["auto", "never"] as const) {
    await using balancer = startBalancer([`https://127.0.0.1:${port}`], {
      tls: { ca: authority.ca },
      connections: { http2 },
    });
    expect(await call(balancer)).toBe("200 ok");
  }
  await new Promise((resolve) => server.close(resolve));
  expect(versions).toEqual(["2.0", "1.1"]);
});

test("http2: prior-knowledge refuses an https node that does not speak it", async () => {
  const { createServer } = await import("node:https");
  const { listen } = await import("./support/server.ts");
  const server = createServer(certificate, (_, response) => response.end("ok"));
  await using node = await listen(server, [], { port: 0, host: "127.0.0.1" }, "https");
  await using balancer = startBalancer([node], {
    tls: { ca: authority.ca },
    connections: { http2: "prior-knowledge" },
    retry: false,
  });
  const error = await rejection(balancer.request(get));
  expect(error).toMatchObject({ code: "ERR_NO_NODE" });
  expect(String(error.cause)).toMatch(/HTTP\/2|alert/);
});

test.each(kinds)("%s: bodies and headers arrive, and come back", async (kind) => {
  await using node = await startNode(kind, (stream, { headers }) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => {
      stream.respond({
        ":status": 201,
        "x-got": String(headers["x-sent"]),
        "x-host": String(headers[":authority"]),
      });
      stream.end(Buffer.concat(chunks));
    });
  });
  await using balancer = balance(kind, [node], {}, { host: "shop.example" });
  for (const body of [
    "text",
    Buffer.from("text"),
    (async function* () {
      yield "te";
      yield "xt";
    })(),
  ]) {
    const answer = await balancer.request({
      path: "/v1?a=b",
      method: "POST",
      headers: { "x-sent": "yes" },
      body: body as string,
    });
    expect(answer.statusCode).toBe(201);
    expect(answer.headers).toMatchObject({ "x-got": "yes", "x-host": "shop.example" });
    expect(await answer.body.text()).toBe("text");
  }
  const response = await balancer.fetch("/v1", { method: "POST", body: "fetched" });
  expect([response.status, await response.text()]).toEqual([201, "fetched"]);
  expect(node.sessionCount).toBe(1);
});

test.each(kinds)("%s: a refused stream goes to another node, a POST as well, and once", async (kind) => {
  await using refusing = await startNode(kind, (stream) => stream.close(7));
  await using good = await startNode(kind);
  await using balancer = balance(kind, [refusing, good]);
  expect(await call(balancer, "POST", "x")).toBe("200 ok");
  expect(refusing.arrivals.length).toBe(1);
  expect(good.arrivals.length).toBe(1);
  expect(balancer.nodes[0]).toMatchObject({ failures: 1 });
  await expectIdle(balancer);
});

test.each(kinds)(
  "%s: GOAWAY: what the node took is answered, the rest goes elsewhere at once",
  async (kind) => {
    const held: (() => void)[] = [];
    await using leaving = await startNode(kind, (stream, { path }) => {
      if (path === "/slow") {
        held.push(() => {
          stream.respond({ ":status": 200 });
          stream.end("slow ok");
        });
      } else answerOk(stream, {} as never);
    });
    await using good = await startNode(kind);
    await using balancer = balance(kind, [leaving, good]);
    expect(await call(balancer)).toBe("200 ok");
    const slow = balancer.request({ path: "/slow", method: "POST" });
    await until("arrival", () => held.length === 1, 2_000);
    for (const session of leaving.sessions) session.goaway(0);
    await sleep(20);
    // The old session takes no more calls; the node itself does, over a new one.
    expect(await call(balancer)).toBe("200 ok");
    expect(leaving.sessionCount).toBe(2);
    held[0]?.();
    const { statusCode, body } = await slow;
    expect([statusCode, await body.text()]).toEqual([200, "slow ok"]);
    await expectIdle(balancer);
    expectNoBlame(balancer);
  },
);

test.each(kinds)("%s: streams above the last one of a GOAWAY are sent again, POSTs as well", async (kind) => {
  let unanswered = 0;
  await using leaving = await startNode(kind, (stream, arrival) => {
    if (leaving.arrivals.length === 1) answerOk(stream, arrival);
    else if (++unanswered === 5) arrival.session.goaway(0, 1);
  });
  await using good = await startNode(kind);
  await using balancer = balance(kind, [leaving, good]);
  await call(balancer);
  expect(await Promise.all(Array.from({ length: 5 }, () => call(balancer, "POST", "x")))).toEqual(
    Array(5).fill("200 ok"),
  );
  expect(unanswered).toBe(5);
  expect(good.arrivals.length).toBe(5);
  await expectIdle(balancer);
  expectNoBlame(balancer);
});

test.each(kinds)("%s: a session that dies takes POSTs with it, and GETs go elsewhere", async (kind) => {
  await using dying = await startNode(kind, (_stream, { session }) => {
    if (dying.arrivals.length === 4) session.socket.destroy();
  });
  await using good = await startNode(kind);
  await using balancer = balance(kind, [dying, good]);
  const calls = [call(balancer, "POST", "x"), call(balancer), call(balancer, "POST", "x"), call(balancer)];
  const ended = await Promise.allSettled(calls);
  expect(ended.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected", "fulfilled"]);
  expect(good.arrivals.map(({ method }) => method)).toEqual(["GET", "GET"]);
  expect(balancer.nodes[0]).toMatchObject({ failures: 4 });
  expect(inflight(balancer)).toBe(0);
});

test.each(kinds)("%s: after ENHANCE_YOUR_CALM the node is left alone for a while", async (kind) => {
  await using strained = await startNode(kind, (_stream, { session }) => session.goaway(11, 0));
  await using good = await startNode(kind);
  await using balancer = balance(kind, [strained, good], {}, { health: { ejection: false } });
  for (let round = 0; round < 20; round++) expect(await call(balancer)).toBe("200 ok");
  expect(good.arrivals.length).toBe(20);
  expect(strained.sessionCount).toBe(1);
});

test.each(kinds)(
  "%s: a peer that falls silent is found by PING, and its calls go elsewhere",
  async (kind) => {
    await using node = await startNode(kind);
    await using proxy = await startFaultProxy({ target: node.address });
    await using good = await startNode(kind);
    await using balancer = balance(kind, [proxy, good], { pingMs: 100, pingTimeoutMs: 100 });
    expect(await call(balancer)).toBe("200 ok");
    await proxy.set({ kind: "stall" });
    const startedAt = performance.now();
    expect(await call(balancer)).toBe("200 ok");
    const tookMs = performance.now() - startedAt;
    expect(good.arrivals.length).toBe(1);
    expect(tookMs).toBeGreaterThan(20);
    // A call's own time would be 10 s.
    expect(tookMs).toBeLessThan(2_000);
    expect(balancer.nodes[0]).toMatchObject({ failures: 1 });
  },
);

test.each(kinds)("%s: an idle session that answers PINGs is kept", async (kind) => {
  await using node = await startNode(kind);
  await using balancer = balance(kind, [node], { pingMs: 50, pingTimeoutMs: 50 });
  await call(balancer);
  await sleep(500);
  await call(balancer);
  expect(node.sessionCount).toBe(1);
});

test.each(kinds)(
  "%s: an idle session whose peer falls silent is retired, and its node blamed",
  async (kind) => {
    await using node = await startNode(kind);
    await using proxy = await startFaultProxy({ target: node.address });
    await using balancer = balance(kind, [proxy], { pingMs: 100, pingTimeoutMs: 100 });
    await call(balancer);
    let lost = 0;
    balancer.on("disconnect", () => lost++);
    await proxy.set({ kind: "stall" });
    await until("retired", () => lost === 1, 3_000);
    expect(balancer.nodes[0]?.failureRate).toBeGreaterThan(0);
    await proxy.reset();
    expect(await call(balancer)).toBe("200 ok");
    expect(node.sessionCount).toBe(2);
  },
);

test.each(kinds)(
  "%s: a session on which a call ran out of time takes no next one until it is heard",
  async (kind) => {
    await using node = await startNode(kind);
    await using proxy = await startFaultProxy({ target: node.address });
    await using balancer = balance(
      kind,
      [proxy],
      { pingMs: 60_000, pingTimeoutMs: 60_000 },
      { timeouts: { attemptMs: 200 }, retry: false },
    );
    await call(balancer);
    await proxy.set({ kind: "stall" });
    expect(await rejection(balancer.request(get))).toMatchObject({ code: "ERR_DEADLINE" });
    expect(proxy.accepted).toBe(1);
    await rejection(balancer.request(get));
    // The connection was not tried again: another one was made.
    expect(proxy.accepted).toBe(2);
  },
);

test("a hung https node delays no call to another", async () => {
  const { createServer } = await import("node:net");
  const hung = createServer(() => {});
  await new Promise<void>((resolve) => hung.listen(0, "127.0.0.1", resolve));
  const { port } = hung.address() as { port: number };
  await using good = await startNode("h2 over TLS");
  await using balancer = startBalancer([`https://127.0.0.1:${port}`, good.address], {
    tls: { ca: authority.ca },
    timeouts: { connectMs: 300 },
  });
  const startedAt = performance.now();
  // undici's own Pool lets such calls wait for one another: the fifth would fail after five times connectMs.
  expect(await Promise.all(Array.from({ length: 5 }, () => call(balancer, "POST", "x")))).toEqual(
    Array(5).fill("200 ok"),
  );
  expect(performance.now() - startedAt).toBeLessThan(1_200);
  await balancer.destroy();
  hung.close();
});

test("an upgrade goes over HTTP/1.1 where calls go over HTTP/2", async () => {
  const { createSecureServer } = await import("node:http2");
  const server = createSecureServer({ ...certificate, allowHTTP1: true }, (_, response) =>
    response.end("ok"),
  );
  server.on("upgrade", (_request, socket) => {
    socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await using balancer = startBalancer([`https://127.0.0.1:${port}`], { tls: { ca: authority.ca } });
  expect(await call(balancer)).toBe("200 ok");
  const { socket } = await balancer.upgrade({ path: "/", protocol: "echo" });
  expect(String(await new Promise((resolve) => socket.once("data", resolve)))).toBe("hi");
  socket.destroy();
  await balancer.destroy();
  await new Promise((resolve) => server.close(resolve));
});

test("h2c and HTTP/1.1 need no certificate; a plain node is called by HTTP/1.1 unless told otherwise", async () => {
  await using node = await startServer();
  await using balancer = startBalancer([node]);
  expect(await call(balancer)).toBe("200 ok");
  expect(node.arrivals).toHaveLength(1);
});

test.each(kinds)(
  "%s: a stream that is refused after a GOAWAY that covered it goes elsewhere",
  async (kind) => {
    await using leaving = await startNode(kind, (stream, { session }) => {
      // The first notice of a graceful end: everything sent so far counts as accepted.
      session.goaway(0, 2 ** 31 - 1);
      setTimeout(() => stream.close(7), 20);
    });
    await using good = await startNode(kind);
    await using balancer = balance(kind, [leaving, good]);
    expect(await call(balancer, "POST", "x")).toBe("200 ok");
    expect([leaving.arrivals.length, good.arrivals.length]).toEqual([1, 1]);
    await expectIdle(balancer);
  },
);

test.each(kinds)("%s: a POST by fetch that the node has not processed is sent again, whole", async (kind) => {
  const bodies: string[] = [];
  const reading: Http2Answer = (stream) => {
    let body = "";
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      body += chunk;
    });
    stream.once("end", () => {
      bodies.push(body);
      stream.respond({ ":status": 200 });
      stream.end("ok");
    });
  };
  await using refusing = await startNode(kind, (stream) => stream.close(7));
  await using leaving = await startNode(kind, (stream, { session }) => {
    if (leaving.arrivals.length === 1) answerOk(stream, {} as never);
    else session.goaway(0, 1);
  });
  await using good = await startNode(kind, reading);
  for (const bad of [refusing, leaving]) {
    await using balancer = balance(kind, [bad, good]);
    if (bad === leaving) await (await balancer.fetch("/")).text();
    const response = await balancer.fetch("/", { method: "POST", body: "whole" });
    expect([response.status, await response.text()]).toEqual([200, "ok"]);
    expect(bad.arrivals.at(-1)?.method).toBe("POST");
    await expectIdle(balancer);
  }
  expect(bodies).toEqual(["whole", "whole"]);
});

test.each(kinds)("%s: headers that HTTP/2 does not allow end no session", async (kind) => {
  await using node = await startNode(kind);
  await using balancer = balance(kind, [node], {}, { retry: false });
  await call(balancer);
  const all: Record<string, string>[] = [
    { te: "gzip" },
    { "Proxy-Connection": "keep-alive" },
    { "http2-settings": "AAMAAABkAAQAAP__" },
    { te: "trailers", "x-kept": "yes" },
  ];
  for (const headers of all) {
    for (const form of [headers, Object.entries(headers).flat(), new Map(Object.entries(headers))]) {
      const answer = await balancer.request({ ...get, headers: form as Record<string, string> });
      expect([answer.statusCode, await answer.body.text()]).toEqual([200, "ok"]);
    }
  }
  expect(node.sessionCount).toBe(1);
  expect(node.arrivals.at(-1)?.headers).toMatchObject({ te: "trailers", "x-kept": "yes" });
  expectNoBlame(balancer);
});

test("h2c: a CONNECT tunnel is in use for as long as it is open", async () => {
  await using node = await startNode("h2c", (stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  const nodes = list([node.address]);
  await using balancer = startBalancer([], {
    discovery: nodes,
    connections: { http2: "prior-knowledge", idleMs: 50 },
  });
  const { socket } = await balancer.connect({ path: "example.org:443", origin: "http://orders" });
  const echo = async (text: string): Promise<string> => {
    socket.write(text);
    return String(await new Promise((resolve) => socket.once("data", resolve)));
  };
  expect(await echo("a")).toBe("a");
  await sleep(120);
  // A change of the set is when idle connections are closed.
  nodes.add({ address: "http://127.0.0.1:1", weight: 0 });
  expect(await echo("b")).toBe("b");
  socket.destroy();
  await expectIdle(balancer);
});

test("an HTTP/2 connection that is kept ready is replaced when the node closes it", async () => {
  await using node = await startNode("h2c");
  await using balancer = balance("h2c", [node], { minPerNode: 1 });
  await until("a session", () => node.sessions.size === 1, 2_000);
  for (const session of node.sessions) session.close();
  await until("another one", () => node.sessionCount === 2 && node.sessions.size === 1, 5_000);
  expect(await call(balancer, "POST", "x")).toBe("200 ok");
  expectNoBlame(balancer);
});
