/** The connections under a channel: made, given up, made again, and let go. */

import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { credentials, Metadata, ServerCredentials, status } from "@grpc/grpc-js";
import { expect, test, vi } from "vitest";
import { collect } from "../../src/core/observation.ts";
import { grpcBalancer } from "../../src/grpc/index.ts";
import { list, type Policy, roundRobin } from "../../src/index.ts";
import { createAuthority } from "../support/certificates.ts";
import { runChild } from "../support/child.ts";
import { DeafListener } from "../support/deaf-listener.ts";
import { Recorder } from "../support/recorder.ts";
import { statisticsOf } from "./support/channelz.ts";
import { balance, connected, eventually, inTurn, OrdersClient, tally } from "./support/clients.ts";
import type { CloseWhileConnectingReport } from "./support/close-while-connecting-program.ts";
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

test("a connection that is still being made when all is closed does not keep the process", async () => {
  await using mute = await MutePeer.start();
  await using deaf = await DeafListener.start();
  // A handshake of TLS that the peer is frozen in, and a SYN that nobody answers: Linux gives up after 127 s.
  const unfinished = [
    [mute.address, "tls"],
    [deaf.address, "plain"],
  ];
  for (const parameters of unfinished) {
    const { report } = await runChild<CloseWhileConnectingReport>(
      "../grpc/support/close-while-connecting-program.ts",
      { arguments: parameters, limitMs: 10_000 },
    );
    expect(report.connecting).toBe(1);
  }
  expect(mute.opened).toBe(1);
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

test("connections are counted once for all channels of a service, and as long as they carry calls", async () => {
  await using servers = await startServers(2, {
    chat: (call) => {
      call.on("data", (bytes: Buffer) => call.write(bytes));
      call.on("end", () => call.end());
    },
  });
  const [first, second] = servers.map(({ address }) => `http://${address}`) as [string, string];
  await using balanced = balance([first, second], { policy: roundRobin() });
  const counts = () => {
    const { name } = balanced.balancer;
    const all = collect().find(({ service }) => service === name)?.connections ?? new Map();
    return [all.get(first), all.get(second)];
  };
  const idle = { open: 1, idle: 1, connecting: 0, waiting: 0 };
  expect(counts()).toEqual([undefined, undefined]);
  const shared = balanced.connect();
  await Promise.all([connected(balanced.client), connected(shared)]);
  await eventually("both are connected", () => counts().every((count) => count?.open === 1));
  expect(counts()).toEqual([idle, idle]);
  const apart = balanced.connect({ "grpc.use_local_subchannel_pool": 1 });
  await connected(apart);
  await eventually("both are connected", () => counts().every((count) => count?.open === 2));
  apart.close();
  await eventually("its connections are gone", () => counts().every((count) => count?.open === 1), 15_000);

  balanced.balancer.drain(second);
  const { path, requestSerialize, responseDeserialize } = methods.chat;
  const stream = balanced.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  let echoes = 0;
  stream.on("data", () => echoes++);
  stream.write(Buffer.from("a"));
  await eventually("an echo", () => echoes === 1);
  expect(counts()[0]).toEqual({ ...idle, idle: 0 });
  // It goes on over the connection that was told to go, beside the one that takes its place.
  servers[0]?.server.drain(servers[0].address, 60_000);
  await eventually("it is connected again", () => counts()[0]?.open === 2);
  expect(await shared.get()).toBe(servers[0]?.port);
  expect(counts()[0]).toEqual({ ...idle, open: 2 });
  stream.end();
  await eventually("the old connection is gone", () => counts()[0]?.open === 1);
  expect(counts()[0]).toEqual(idle);

  await servers[0]?.stop();
  await eventually("there is none", () => (counts()[0]?.open ?? 0) === 0);
});

test("a peer that closes as soon as it has accepted is not connected to in a loop", async () => {
  await using fleeting = await MutePeer.start();
  fleeting.sayGoodbye();
  await using good = await startServer();
  await using balanced = balance([fleeting.address, good.address]);
  await connected(balanced.client);
  await eventually("the first one has ended", () => fleeting.opened >= 2);
  const before = fleeting.opened;
  // Two a second are made; without any pause hundreds would be.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(fleeting.opened - before).toBeLessThan(20);
  expect(fleeting.opened - before).toBeGreaterThan(0);
  expect(tally(await inTurn(20, () => balanced.client.get())).get(good.port)).toBeGreaterThan(0);
  // It is there after all.
  fleeting.forwardTo(good.port);
  balanced.balancer.drain(good.address);
  expect(await balanced.client.get()).toBe(good.port);
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

test("what is in flight when a server says goodbye finishes, however often pings are due meanwhile", async () => {
  await using server = await startServer({
    get: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("1")), 500),
    list: (call) => void setTimeout(() => call.end(), 500),
  });
  await using balanced = balance([server.address], { connections: { pingMs: 50, pingTimeoutMs: 2_000 } });
  const stream = balanced.client.list();
  const ended = once(stream.resume(), "end");
  const answered = balanced.client.get();
  await eventually("both have begun", () => server.calls.get("list") === 1 && server.gets === 1);
  const { sessions } = server;
  server.server.drain(server.address, 5_000);
  expect(await answered).toBe(1);
  await ended;
  expect(sessions).toBe(1);
});

test("a stream on a removed node goes on for drainMs, and is then ended", async () => {
  await using servers = await startServers(2, { list: (call) => void call.write(Buffer.from("a")) });
  const nodes = list(servers.map(({ address }) => address));
  await using balanced = balance(nodes, { connections: { drainMs: 300 } });
  const stream = balanced.client.list();
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
  await expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE, details: "Connection dropped" });
  expect(balanced.balancer.nodes).toMatchObject([{ failures: 1 }]);
});

test("that it drops a connection since this process was blocked is held against no node", async () => {
  await using server = await startServer({ get: () => {} });
  await using balanced = balance([server.address], {
    connections: { pingMs: 200, pingTimeoutMs: 200 },
    retry: false,
  });
  await connected(balanced.client);
  using _ = blockAtPings(server.address, 400);
  const dropped = { code: status.UNAVAILABLE, details: "Connection dropped" };
  await expect(balanced.client.get()).rejects.toMatchObject(dropped);
  expect(server.gets).toBe(1);
  expect(balanced.balancer.nodes).toMatchObject([{ failures: 0, calls: 0, state: "ready" }]);
});

/** Blocks this process whenever it sends a PING, until the time for the answer is over: none can be read before. */
function blockAtPings(address: string, blockedMs: number): Disposable {
  const session = connectHttp2(`http://${address}`);
  session.destroy();
  const sessions: ClientHttp2Session = Object.getPrototypeOf(session);
  const { ping } = sessions;
  const spy = vi.spyOn(sessions, "ping").mockImplementation(function (this: ClientHttp2Session, ...given) {
    const isSent = ping.apply(this, given);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockedMs);
    return isSent;
  });
  return { [Symbol.dispose]: () => spy.mockRestore() };
}

test("when discovery replaces all nodes, calls wait for the first of the new ones", async () => {
  await using before = await startServer();
  await using server = await startServer();
  await using late = await MutePeer.start();
  const nodes = list([before.address]);
  // Nothing is tried again, which would hide it.
  await using balanced = balance(nodes, { retry: false, timeouts: { connectMs: 500 } });
  await balanced.client.get();
  // The time for a first connection of this channel is over.
  await new Promise((resolve) => setTimeout(resolve, 550));
  nodes.set([late.address]);
  const calls = [balanced.client.get()];
  await eventually("it is being connected", () => late.opened === 1);
  calls.push(balanced.client.get());
  late.forwardTo(server.port);
  expect(await Promise.all(calls)).toEqual([server.port, server.port]);
  nodes.set([]);
});

test("a call that waits for ready ends with totalMs", async () => {
  await using balanced = balance([`127.0.0.1:${await freePort()}`], {
    timeouts: { connectMs: 100, totalMs: 400 },
  });
  const waiting = balanced.client.get({}, new Metadata({ waitForReady: true }));
  await expect(waiting).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
    details: expect.stringContaining("no answer within 400 ms"),
  });
});

test("a call that waits for its first node ends with totalMs, however long that may take to connect", async () => {
  const never = async function* (): AsyncGenerator<never> {
    await new Promise(() => {});
  };
  await using mute = await MutePeer.start();
  // Nobody would give up a connection, or discovery, before the test itself is given up.
  const timeouts = { connectMs: 120_000, totalMs: 200 };
  for (const discovery of [{ watch: never }, [mute.address]]) {
    await using balanced = balance(discovery, { timeouts });
    const call = async (): Promise<void> => {
      await expect(balanced.client.get()).rejects.toMatchObject({
        code: status.DEADLINE_EXCEEDED,
        details: expect.stringContaining("no answer within 200 ms"),
      });
    };
    const first = call();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([first, call()]);
    await call();
  }
  expect(mute.closed).toBe(0);
});

test("what a policy throws fails the call that it was asked for, and no other", async () => {
  await using server = await startServer();
  const inner = roundRobin();
  let isBroken = true;
  const policy: Policy = {
    name: "brittle",
    build(set, previous) {
      const picker = inner.build(set, previous);
      return {
        pick(call) {
          if (isBroken) throw new TypeError("no such tenant");
          return picker.pick(call);
        },
      };
    },
  };
  await using balanced = balance([server.address], { policy });
  // Those that wait for the first connection are picked for in one go.
  const results = await Promise.allSettled(Array.from({ length: 3 }, () => balanced.client.get()));
  const refused = {
    code: status.INTERNAL,
    details: expect.stringContaining("the policy brittle threw: TypeError: no such tenant"),
  };
  expect(results).toMatchObject(Array(3).fill({ status: "rejected", reason: refused }));
  await expect(balanced.client.get()).rejects.toMatchObject(refused);
  isBroken = false;
  expect(await balanced.client.get()).toBe(server.port);
});

test("a policy that throws in observe, build or candidates loses no call and ends no process", async () => {
  await using servers = await startServers(2);
  const inner = roundRobin();
  let isBroken = false;
  const check = (): void => {
    if (isBroken) throw new TypeError("no such tenant");
  };
  const policy: Policy = {
    name: "brittle",
    build(set, previous) {
      check();
      return inner.build(set, previous);
    },
    candidates(set) {
      check();
      return set;
    },
    observe: check,
  };
  using warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  const nodes = list([String(servers[0]?.address)]);
  await using balanced = balance(nodes, { policy });
  const { client } = balanced;
  await client.get();
  isBroken = true;
  await inTurn(3, () => client.get());
  const other = String(servers[1]?.address);
  nodes.add(other);
  // It takes the place of the node that is drained, which the picker before names.
  balanced.balancer.drain(String(servers[0]?.address));
  expect(await client.get()).toBe(servers[1]?.port);
  await servers[1]?.stop();
  balanced.balancer.undrain(String(servers[0]?.address));
  await eventually("the other one is gone", async () => {
    await client.get().catch(() => undefined);
    return balanced.balancer.nodes.some(({ state }) => state === "down");
  });
  expect(await inTurn(3, () => client.get())).toEqual(Array(3).fill(servers[0]?.port));
  using fresh = balanced.connect();
  expect(await fresh.get()).toBe(servers[0]?.port);
  const lateNodes = list([String(servers[0]?.address)]);
  await using late = balance(lateNodes, { policy });
  const refused = { code: status.INTERNAL, details: expect.stringContaining("the policy brittle threw") };
  await expect(late.client.get()).rejects.toMatchObject(refused);
  isBroken = false;
  lateNodes.set([`http://${servers[0]?.address}`, other]);
  await eventually("it is called", () =>
    late.client.get().then(
      () => true,
      () => false,
    ),
  );
  const threw = warned.mock.calls.map(
    ([warning]) => /\w+ of the policy brittle threw/.exec(String(warning))?.[0],
  );
  // Once for each service.
  const methods = ["build", "candidates", "observe", "build", "candidates"];
  expect(threw.toSorted()).toEqual(methods.toSorted().map((name) => `${name} of the policy brittle threw`));
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
  const etcd = { name: "services/orders", discovery: [server.address] };
  expect(() => grpcBalancer(etcd)).toThrow(
    new TypeError(
      'name cannot be the :authority of gRPC calls, got "services/orders": give them another one as host',
    ),
  );
  await using named = grpcBalancer({ ...etcd, host: "orders.example" });
  for (const { target, channelOptions } of [plain, hosted, named]) {
    using client = new OrdersClient(target, credentials.createInsecure(), channelOptions);
    await client.get();
  }
  expect(authorities).toEqual(["orders.internal", "shop.example", "orders.example"]);
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

/** Frames of HTTP/2: length, type, flags and stream; a GOAWAY tells of the last stream and of no error. */
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const goAway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/** Accepts connections and says nothing; or passes everything on, until it falls silent. */
class MutePeer implements AsyncDisposable {
  opened = 0;
  closed = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  /** What was said to it, and by whom, while there was nobody to pass it on to. */
  readonly #heard: Map<Socket, Buffer[]> = new Map();
  #target: number | undefined = undefined;
  #isFleeting = false;

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
      this.opened++;
      if (this.#isFleeting) socket.resume().end(Buffer.concat([settings, goAway]));
      else if (this.#target !== undefined) this.#forward(socket, this.#target);
      else this.#hear(socket);
    });
  }

  get address(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  }

  /** From now on each connection has its SETTINGS, and a GOAWAY after them. */
  sayGoodbye(): void {
    this.#isFleeting = true;
  }

  /** From now on, with what was said before. */
  forwardTo(port: number): void {
    this.#target = port;
    this.#isFleeting = false;
    for (const [socket, heard] of this.#heard) {
      socket.removeAllListeners("data");
      this.#forward(socket, port).write(Buffer.concat(heard));
    }
    this.#heard.clear();
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

  #hear(socket: Socket): void {
    const heard: Buffer[] = [];
    this.#heard.set(socket, heard);
    socket.on("data", (bytes: Buffer) => heard.push(bytes));
    socket.on("close", () => this.#heard.delete(socket));
  }

  #forward(socket: Socket, port: number): Socket {
    const onward = connect(port, "127.0.0.1");
    this.#sockets.add(onward);
    onward.on("error", () => {});
    socket.pipe(onward).pipe(socket);
    return onward;
  }
}

/** Of a port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}
