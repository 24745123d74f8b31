/** The connections under a channel: made, given up, made again, and let go. */

import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { credentials, ServerCredentials, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { grpcBalancer } from "../../src/grpc/index.ts";
import { list, roundRobin } from "../../src/index.ts";
import { createAuthority } from "../support/certificates.ts";
import { Recorder } from "../support/recorder.ts";
import { statisticsOf } from "./support/channelz.ts";
import { balance, eventually, inTurn, OrdersClient, tally } from "./support/clients.ts";
import { methods, startServer, startServers } from "./support/servers.ts";

const get = methods.get.path;

test("a peer that accepts and never says a word is given up after connectMs, and its socket is closed", async () => {
  await using mute = await MutePeer.start();
  await using balanced = balance([mute.address], { timeouts: { connectMs: 200 } });
  await expect(balanced.client.get()).rejects.toMatchObject({
    code: status.UNAVAILABLE,
    details: expect.stringContaining(mute.address),
  });
  await eventually("the socket is closed", () => mute.closed >= 1);
  expect(balanced.balancer.nodes[0]?.failureRate).toBeGreaterThan(0);
});

test("beside a mute peer calls go to the node that answers", async () => {
  await using mute = await MutePeer.start();
  await using good = await startServer();
  await using balanced = balance([mute.address, good.address], { timeouts: { connectMs: 300 } });
  expect(tally(await inTurn(20, () => balanced.client.get()))).toEqual(new Map([[good.port, 20]]));
});

test("a connection that this process was too busy to see made is not given up", async () => {
  await using server = await startServer();
  await using balanced = balance([server.address], { timeouts: { connectMs: 200 } });
  using recorder = new Recorder(balanced.balancer.name);
  const call = balanced.client.get();
  // Until the connection is being made.
  while (statisticsOf(balanced.client).size === 0) await nextTurn();
  for (const endsAt = performance.now() + 600; performance.now() < endsAt; );
  expect(await call).toBe(server.port);
  expect(recorder.changesTo(`http://${server.address}`, "down")).toHaveLength(0);
});

test("a node that is not there is down at once, and is called as soon as it is back", async () => {
  await using servers = await startServers(2);
  await using balanced = balance(
    servers.map(({ address }) => address),
    { policy: roundRobin() },
  );
  using recorder = new Recorder(balanced.balancer.name);
  await inTurn(4, () => balanced.client.get());
  const [gone, other] = servers;
  if (gone === undefined || other === undefined) throw new Error("there are two servers");
  await gone.stop();
  await eventually("it is down", () => recorder.changesTo(`http://${gone.address}`, "down").length > 0);
  expect(tally(await inTurn(20, () => balanced.client.get()))).toEqual(new Map([[other.port, 20]]));
  await using back = await startServer({}, { port: gone.port });
  await eventually("it is called again", async () => {
    await balanced.client.get();
    return back.gets > 0;
  });
  // Not at the end of its penalty of 5 s or more, but when it could be connected again.
  expect(recorder.changesTo(`http://${gone.address}`, "probing")).toHaveLength(1);
});

test("with all nodes gone calls fail at once and name them, and find the first that returns", async () => {
  const server = await startServer();
  await using balanced = balance([server.address]);
  await balanced.client.get();
  await server.stop();
  await eventually("calls fail", async () =>
    balanced.client.get().then(
      () => false,
      () => true,
    ),
  );
  const error = await balanced.client.get().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: status.UNAVAILABLE, details: expect.stringContaining(server.address) });
  await using back = await startServer({}, { port: server.port });
  await eventually(
    "calls succeed",
    async () =>
      balanced.client.get().then(
        () => true,
        () => false,
      ),
    2_000,
  );
  expect(back.gets).toBeGreaterThan(0);
});

test("a server that sends GOAWAY under load loses no call, and is connected to again", async () => {
  await using servers = await startServers(2, {
    get: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("1")), 2),
  });
  await using balanced = balance(
    servers.map(({ address }) => address),
    { policy: roundRobin() },
  );
  let running = true;
  let failed = 0;
  const caller = async (): Promise<void> => {
    while (running) await balanced.client.get().catch(() => failed++);
  };
  const callers = Array.from({ length: 8 }, caller);
  for (let round = 0; round < 10; round++) {
    const before = servers[0]?.gets ?? 0;
    servers[0]?.server.drain(`127.0.0.1:${servers[0].port}`, 1_000);
    await eventually("it is called again", () => (servers[0]?.gets ?? 0) > before + 20);
  }
  running = false;
  await Promise.all(callers);
  expect(failed).toBe(0);
});

test("a source that asks at intervals is woken when a server says that it goes", async () => {
  await using server = await startServer();
  let woken = 0;
  await using balanced = balance({
    async *watch({ signal, wakers }) {
      wakers?.add(() => woken++);
      yield [{ address: server.address }];
      await once(signal, "abort");
    },
  });
  await balanced.client.get();
  expect(woken).toBe(0);
  server.server.drain(server.address, 1_000);
  await eventually("it is woken", () => woken > 0);
  expect(await balanced.client.get()).toBe(server.port);
});

test("no discovery yet: calls wait connectMs for it, then fail and say so", async () => {
  await using server = await startServer();
  let name = (): void => {};
  const named = new Promise<void>((resolve) => {
    name = resolve;
  });
  await using balanced = balance(
    {
      async *watch() {
        await named;
        yield [{ address: server.address }];
      },
    },
    { timeouts: { connectMs: 200 } },
  );
  await expect(balanced.client.get()).rejects.toMatchObject({
    code: status.UNAVAILABLE,
    details: expect.stringContaining("discovery named no node within 200 ms"),
  });
  const other = balanced.connect();
  const waiting = other.get();
  setTimeout(name, 50);
  expect(await waiting).toBe(server.port);
});

test("a stream on a removed node goes on for drainMs, and is then ended", async () => {
  await using servers = await startServers(2, { list: (call) => void call.write(Buffer.from("a")) });
  const nodes = list(servers.map(({ address }) => address));
  await using balanced = balance(nodes, { connections: { drainMs: 300 } });
  const { path, requestSerialize, responseDeserialize } = methods.list;
  const stream = balanced.client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    Buffer.alloc(0),
  );
  stream.resume();
  const ended = once(stream, "error");
  await eventually("it has begun", () => balanced.balancer.nodes.some(({ inflight }) => inflight === 1));
  const busy = balanced.balancer.nodes.find(({ inflight }) => inflight === 1)?.address ?? "";
  nodes.remove(busy);
  expect(balanced.balancer.nodes.find(({ address }) => address === busy)?.state).toBe("draining");
  const [error] = await ended;
  expect(error).toMatchObject({ code: status.UNAVAILABLE, details: expect.stringContaining("drainMs") });
  expect(balanced.balancer.nodes).toHaveLength(1);
});

test("while a fit node is being connected, a new channel sends nothing to one that is ejected", async () => {
  await using mute = await MutePeer.start();
  await using bad = await startServer({ get: (_call, callback) => callback({ code: status.INTERNAL }) });
  const nodes = list([bad.address]);
  await using balanced = balance(nodes, {
    timeouts: { connectMs: 600 },
    health: { ejection: { consecutiveFailures: 1 } },
  });
  await expect(balanced.client.get()).rejects.toMatchObject({ code: status.INTERNAL });
  nodes.add(mute.address);
  await eventually("it is ejected", async () => {
    await balanced.client.get().catch(() => undefined);
    return balanced.balancer.nodes.some(({ state }) => state === "ejected");
  });
  const before = bad.gets;
  using other = balanced.connect();
  const call = other.get().catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(bad.gets).toBe(before);
  await call;
});

test("a dead peer is found by keepalive while calls are in flight", async () => {
  await using deaf = await MutePeer.start();
  await using server = await startServer({ get: () => {} });
  // What the server says is passed on until the proxy falls silent.
  deaf.forwardTo(server.port);
  await using balanced = balance([deaf.address], {
    connections: { pingMs: 100, pingTimeoutMs: 100 },
    retry: { methods: [get], attempts: 1 },
  });
  const call = balanced.client.get();
  await eventually("the call is there", () => server.gets === 1);
  deaf.fallSilent();
  await expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE });
});

test("the names of a service and of its host are its :authority", async () => {
  const authorities: string[] = [];
  await using server = await startServer({
    get: (call, callback) => {
      authorities.push(call.getHost());
      callback(null, Buffer.from("1"));
    },
  });
  await using plain = grpcBalancer({ name: "orders.internal", discovery: [server.address] });
  await using hosted = grpcBalancer({ name: "orders", discovery: [server.address], host: "shop.example" });
  for (const { target, channelOptions } of [plain, hosted]) {
    using client = new OrdersClient(target, credentials.createInsecure(), channelOptions);
    await client.get();
  }
  expect(authorities).toEqual(["orders.internal", "shop.example"]);
});

test("certificates are checked for the service's name, or for tls.servername", async () => {
  await using authority = await createAuthority();
  const issue = async (name: string): Promise<ServerCredentials> => {
    const { cert, key } = await authority.issue({ names: [name] });
    return ServerCredentials.createSsl(null, [
      { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) },
    ]);
  };
  await using server = await startServer({}, { secured: await issue("orders.internal") });
  await using stranger = await startServer({}, { secured: await issue("users.internal") });
  const trusted = credentials.createSsl(Buffer.from(authority.ca));
  const discovery = [`grpcs://${server.address}`, `https://${stranger.address}`];
  const timeouts = { connectMs: 2_000 };
  await using byName = grpcBalancer({ name: "orders.internal", discovery, timeouts });
  using client = new OrdersClient(byName.target, trusted, byName.channelOptions);
  expect(await inTurn(3, () => client.get())).toEqual(Array(3).fill(server.port));
  await using byOption = grpcBalancer({
    name: "shop",
    discovery,
    timeouts,
    tls: { servername: "users.internal" },
  });
  using other = new OrdersClient(byOption.target, trusted, byOption.channelOptions);
  expect(await inTurn(3, () => other.get())).toEqual(Array(3).fill(stranger.port));
});

test("a node may be a Unix socket", async () => {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-grpc-"));
  try {
    await using server = await startServer({}, { place: `unix:${folder}/orders.sock` });
    await using balanced = balance([server.address]);
    await inTurn(3, () => balanced.client.get());
    expect(server.gets).toBe(3);
    expect(balanced.balancer.nodes[0]?.address).toBe(server.address);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** Accepts connections and says nothing; or passes everything on, until it falls silent. */
class MutePeer implements AsyncDisposable {
  closed = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  #target: number | undefined = undefined;

  static async start(): Promise<MutePeer> {
    const peer = new MutePeer();
    peer.#server.listen(0, "127.0.0.1");
    await once(peer.#server, "listening");
    return peer;
  }

  private constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.closed++);
      if (this.#target === undefined) socket.resume();
      else this.#forward(socket, this.#target);
    });
  }

  get address(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  }

  forwardTo(port: number): void {
    this.#target = port;
  }

  fallSilent(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #forward(socket: Socket, port: number): void {
    const onward = connect(port, "127.0.0.1");
    this.#sockets.add(onward);
    onward.on("error", () => {});
    socket.pipe(onward).pipe(socket);
  }
}
