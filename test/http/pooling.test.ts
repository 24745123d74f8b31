/** How many connections a node gets, who waits for one, and when each is made, replaced and closed. */
import { createServer as createTcpServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { list, type Policy, roundRobin } from "../../src/index.ts";
import { startFaultProxy } from "../../src/testing/fault-proxy.ts";
import { until } from "../support/until.ts";
import {
  expectIdle,
  expectNoBlame,
  rejection,
  startBalancer,
  type TestBalancer,
} from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { startServer, startTcpServer, type TestServer } from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;

async function call(balancer: TestBalancer): Promise<string> {
  return await (await balancer.request(get)).body.text();
}

/** Answers when told to. */
async function startHolding(): Promise<{ server: TestServer; answer: () => void }> {
  const held: (() => void)[] = [];
  const server = await startServer((_, response) => held.push(() => response.end("ok")));
  return { server, answer: () => held.splice(0).forEach((end) => void end()) };
}

test("connections.queueMs: a call that finds no free connection in time goes to another node", async () => {
  const { server, answer } = await startHolding();
  await using busy = server;
  await using other = await startServer();
  await using balancer = startBalancer([busy, other], { connections: { perNode: 2, queueMs: 100 } });
  const first = [call(balancer), call(balancer)];
  await until("both connections in use", () => busy.arrivals.length === 2, 2_000);
  expect(await call(balancer)).toBe("ok");
  expect([busy.peak, other.arrivals.length]).toEqual([2, 1]);
  answer();
  expect(await Promise.all(first)).toEqual(["ok", "ok"]);
  expectNoBlame(balancer);
});

test("connections.queue: one call too many is refused at once, with ERR_OVERLOADED when all are full", async () => {
  const { server, answer } = await startHolding();
  await using busy = server;
  await using balancer = startBalancer([busy], {
    connections: { perNode: 1, queue: 2, queueMs: 60_000 },
    retry: { attempts: 2, backoffMs: 0 },
  });
  const calls = [call(balancer)];
  await until("the connection in use", () => busy.arrivals.length === 1, 2_000);
  calls.push(call(balancer), call(balancer));
  const error = await rejection(balancer.request(get));
  expect(error).toMatchObject({ code: "ERR_OVERLOADED" });
  expect(String(error.cause)).toContain("all its connections in use");
  for (let round = 0; round < 3; round++) {
    await until("the next arrival", () => busy.arrivals.length === round + 1, 2_000);
    answer();
  }
  expect(await Promise.all(calls)).toEqual(["ok", "ok", "ok"]);
  expectNoBlame(balancer);
});

test("a call that is given up while it waits leaves the line", async () => {
  const { server, answer } = await startHolding();
  await using busy = server;
  await using balancer = startBalancer([busy], { connections: { perNode: 1, queue: 1, queueMs: 60_000 } });
  const first = call(balancer);
  await until("the connection in use", () => busy.arrivals.length === 1, 2_000);
  for (let round = 0; round < 3; round++) {
    const controller = new AbortController();
    const waiting = rejection(balancer.request({ ...get, signal: controller.signal }));
    await sleep(5);
    controller.abort(new Error("enough"));
    expect((await waiting).message).toBe("enough");
  }
  const last = call(balancer);
  answer();
  await until("the last arrival", () => busy.arrivals.length === 2, 2_000);
  answer();
  expect(await Promise.all([first, last])).toEqual(["ok", "ok"]);
});

test("connections.total: idle connections of other nodes make room, and busy ones are waited for", async () => {
  const servers = await Promise.all(
    Array.from({ length: 4 }, () => startServer((_, response) => setTimeout(() => response.end("ok"), 5))),
  );
  await using balancer = startBalancer(servers, {
    policy: {
      name: "inTurns",
      build: (nodes) => {
        let next = 0;
        return { pick: () => nodes[next++ % nodes.length] };
      },
    },
    connections: { total: 3, queueMs: 5_000 },
  });
  let most = 0;
  const counting = setInterval(() => {
    most = Math.max(
      most,
      servers.reduce((sum, { open }) => sum + open.size, 0),
    );
  }, 1);
  const answers = await Promise.all(Array.from({ length: 100 }, () => call(balancer)));
  clearInterval(counting);
  expect(answers).toEqual(Array(100).fill("ok"));
  expect(servers.map(({ arrivals }) => arrivals.length)).toEqual([25, 25, 25, 25]);
  // A server notices a moment later than the caller that a connection is closed.
  expect(most).toBeLessThanOrEqual(6);
  expectNoBlame(balancer);
  for (const server of servers) await server[Symbol.asyncDispose]();
});

test("connections.connectingPerNode bounds the connections that are in the making", async () => {
  let connecting = 0;
  let most = 0;
  // The first connection stands at once; how many more are begun together shows by their unanswered requests.
  await using server = await startTcpServer((socket) => {
    most = Math.max(most, ++connecting);
    setTimeout(() => {
      connecting--;
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    }, 30);
  });
  await using balancer = startBalancer([server], { connections: { connectingPerNode: 3 } });
  expect(await Promise.all(Array.from({ length: 20 }, () => call(balancer)))).toEqual(Array(20).fill("ok"));
  expect(server.accepted).toBeGreaterThan(3);
});

test("connections.maxAgeMs: connections are replaced, and no call fails for it", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { connections: { maxAgeMs: 50 }, retry: false });
  for (let round = 0; round < 40; round++) {
    expect(await call(balancer)).toBe("ok");
    await sleep(5);
  }
  expect(server.accepted).toBeGreaterThan(2);
  expect(server.accepted).toBeLessThan(20);
  await until("the old ones closed", () => server.open.size <= 1, 2_000);
  expectNoBlame(balancer);
});

test("connections.minPerNode: connections stand before the first call, and are made again when lost", async () => {
  await using first = await startServer();
  await using second = await startServer();
  const nodes = list([first.address]);
  await using balancer = startBalancer([], { discovery: nodes, connections: { minPerNode: 2 } });
  await until("two connections", () => first.open.size === 2, 2_000);
  nodes.add(second.address);
  await until("two to the second", () => second.open.size === 2, 2_000);
  expect(await call(balancer)).toBe("ok");
  expect(first.accepted).toBe(2);
  for (const socket of first.open) socket.destroy();
  await until("two again", () => first.accepted === 4 && first.open.size === 2, 5_000);
  nodes.remove(second.address);
  await until("none to the second", () => second.open.size === 0, 2_000);
  expectNoBlame(balancer);
});

test("a change of the set closes the idle connections of nodes that left, and touches no others", async () => {
  await using staying = await startServer();
  await using leaving = await startServer();
  const nodes = list([staying.address, leaving.address]);
  await using balancer = startBalancer([], {
    discovery: nodes,
    policy: {
      name: "turns",
      build: (all) => {
        let next = 0;
        return { pick: () => all[next++ % all.length] };
      },
    },
  });
  for (let round = 0; round < 4; round++) await call(balancer);
  expect(leaving.open.size).toBe(1);
  nodes.set([staying.address]);
  await until("closed", () => leaving.open.size === 0, 2_000);
  for (let round = 0; round < 4; round++) await call(balancer);
  expect(staying.accepted).toBe(1);
});

test("a pool without calls for idleMs is let go of, and made again by the next call", async () => {
  await using server = await startServer();
  const nodes = list([server.address]);
  await using balancer = startBalancer([], { discovery: nodes, connections: { idleMs: 50 } });
  await call(balancer);
  await until("closed", () => server.open.size === 0, 2_000);
  // The sweep comes with any change of the set.
  nodes.add({ address: "http://127.0.0.1:1", weight: 0 });
  expect(await call(balancer)).toBe("ok");
  expect(server.accepted).toBe(2);
});

test("an idle connection that is closed as it is used fails no GET and is held against nobody", async () => {
  let requests = 0;
  await using server = await startTcpServer((socket) => {
    let served = 0;
    socket.on("data", () => {
      requests++;
      // Each connection answers once; the next request on it meets the end of the connection.
      if (served++ === 0) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      else socket.end();
    });
  });
  await using balancer = startBalancer([server]);
  for (let round = 0; round < 5; round++) {
    expect(await call(balancer)).toBe("ok");
    await sleep(80);
  }
  expect(requests).toBeGreaterThan(5);
  expectNoBlame(balancer);
  const error = await rejection(balancer.request({ ...get, method: "POST" }));
  expect(error).toMatchObject({ code: "ERR_NO_NODE" });
});

test("an answer that nobody asked for costs its connection, and is nobody's answer", async () => {
  await using server = await startTcpServer((socket) => {
    socket.on("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      setTimeout(() => {
        if (!socket.destroyed) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
      }, 20);
    });
  });
  await using balancer = startBalancer([server]);
  for (let round = 0; round < 5; round++) {
    expect(await call(balancer)).toBe("ok");
    await sleep(40);
  }
  expect(server.accepted).toBe(5);
});

test("a node that takes no connections delays no call to another", async () => {
  await using good = await startServer();
  await using proxy = await startFaultProxy({ target: good.address });
  await proxy.set({ kind: "blackhole" });
  await using balancer = startBalancer([proxy, good], {
    timeouts: { connectMs: 300 },
    connections: { connecting: 1 },
  });
  const stuck = Array.from({ length: 5 }, () => call(balancer));
  await sleep(20);
  balancer.drain(proxy.address);
  const startedAt = performance.now();
  expect(await Promise.all(Array.from({ length: 20 }, () => call(balancer)))).toEqual(Array(20).fill("ok"));
  expect(performance.now() - startedAt).toBeLessThan(250);
  expect(await Promise.all(stuck)).toEqual(Array(5).fill("ok"));
  await expectIdle(balancer);
});

test("a node named by a DNS name is reached by whichever of its addresses answers", async () => {
  // localhost is ::1 and 127.0.0.1; only the latter listens.
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await using balancer = startBalancer([`http://localhost:${port}`]);
  expect(await call(balancer)).toBe("ok");
  await balancer.destroy();
  await new Promise((resolve) => server.close(resolve));
});

test("a connection whose call was given up while it was made takes nothing from connections.total", async () => {
  await using first = await startServer();
  await using second = await startServer();
  let turn = first.address;
  const policy: Policy = {
    name: "told",
    build: (nodes) => ({ pick: () => nodes.find(({ key }) => key === turn) }),
  };
  await using balancer = startBalancer([first, second], { policy, connections: { total: 1 } });
  const controller = new AbortController();
  const given = rejection(balancer.request({ ...get, signal: controller.signal }));
  controller.abort(new Error("enough"));
  await given;
  await until("the connection stands", () => first.open.size === 1, 2_000);
  turn = second.address;
  expect(await call(balancer)).toBe("ok");
  await until("it made room", () => first.open.size === 0, 2_000);
});

test("connections.total: a busy node gives up a connection for one that has none", async () => {
  const slow: Parameters<typeof startServer>[0] = (_, response) => setTimeout(() => response.end("ok"), 5);
  await using busy = await startServer(slow);
  await using other = await startServer(slow);
  let turn = busy.address;
  const policy: Policy = {
    name: "told",
    build: (nodes) => ({ pick: () => nodes.find(({ key }) => key === turn) }),
  };
  await using balancer = startBalancer([busy, other], { policy, connections: { total: 4 }, retry: false });
  let isDone = false;
  const callers = Array.from({ length: 12 }, async () => {
    while (!isDone) {
      turn = busy.address;
      await call(balancer);
    }
  });
  await until("all in use", () => busy.open.size === 4, 2_000);
  for (let round = 0; round < 3; round++) {
    turn = other.address;
    expect(await call(balancer)).toBe("ok");
  }
  isDone = true;
  await Promise.all(callers);
  expect(other.arrivals).toHaveLength(3);
});

test("connections.minPerNode takes nothing from calls when connections.total does not reach for all", async () => {
  const servers = [await startServer(), await startServer(), await startServer()];
  await using balancer = startBalancer(servers, {
    policy: roundRobin(),
    connections: { minPerNode: 2, total: 4, queueMs: 2_000 },
  });
  await until(
    "as many as there may be",
    () => servers.reduce((sum, { open }) => sum + open.size, 0) === 4,
    2_000,
  );
  for (let round = 0; round < 30; round++) expect(await call(balancer)).toBe("ok");
  expectNoBlame(balancer);
  await balancer.destroy();
  for (const server of servers) await server[Symbol.asyncDispose]();
});

test.each<[string, (server: TestServer) => string, object]>([
  ["the server closes it", ({ address }) => address, {}],
  ["the node refuses", () => "http://127.0.0.1:1", { health: { ejection: false } }],
  ["it is too old", ({ address }) => address, { connections: { perNode: 1, maxAgeMs: 1 } }],
])("dispatch that said false is followed by drain when %s", async (_, addressOf, options) => {
  await using server = await startServer((_request, response) => {
    response.setHeader("connection", "close");
    response.end("ok");
  });
  await using balancer = startBalancer([addressOf(server)], {
    connections: { perNode: 1 },
    retry: false,
    ...options,
  });
  let drains = 0;
  balancer.on("drain", () => drains++);
  const handler = new RecordingHandler();
  expect(balancer.dispatch(get, handler)).toBe(false);
  await handler.done.catch(() => {});
  await until("drain", () => drains > 0, 2_000);
});
