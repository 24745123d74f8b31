/** Hedges over gRPC: which calls are sent a second time beside the first, where, and what of it is paid for. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { Recorder } from "../support/recorder.ts";
import { balance, configured, eventually, inTurn, tally, withoutEjection } from "./support/clients.ts";
import { startRawPeer } from "./support/raw-peer.ts";
import { methods, startServer, startServers, type TestServer } from "./support/servers.ts";

const get = methods.get.path;

test("hedged attempts go to different nodes, and the one that is dropped speaks against nobody", async () => {
  const slow = () =>
    startServer({ get: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("0")), 400) });
  await using servers = await AsyncServers.start(slow, startServer);
  const hedgingPolicy = { maxAttempts: 2, hedgingDelay: "0.02s", nonFatalStatusCodes: ["UNAVAILABLE"] };
  await using balanced = balance(servers.addresses, withoutEjection, configured({ hedgingPolicy }));
  expect(await inTurn(4, () => balanced.client.get())).toEqual(Array(4).fill(servers.list[1]?.port));
  await eventually("nothing is in flight", () =>
    balanced.balancer.nodes.every(({ inflight }) => inflight === 0),
  );
  expect(balanced.balancer.nodes.map(({ failures }) => failures)).toEqual([0, 0]);
});

test("the option hedge sends a slow call a second time, within the budget, and only where that is safe", async () => {
  const slow = () =>
    startServer({
      get: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("0")), 300),
      put: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("0")), 300),
    });
  await using servers = await AsyncServers.start(slow, startServer);
  const [first, second] = servers.list as [TestServer, TestServer];
  const options = { ...withoutEjection, hedge: { afterMs: 20 } };
  await using balanced = balance(servers.addresses, { ...options, retry: { methods: [get] } });
  using recorder = new Recorder(balanced.balancer.name);
  expect(await inTurn(6, () => balanced.client.get())).toEqual(Array(6).fill(second.port));
  expect(first.gets).toBeGreaterThanOrEqual(3);
  const overtaken = recorder.endsOn(`http://${first.address}`);
  expect(overtaken.every(({ outcome }) => outcome === "ignored")).toBe(true);
  const puts = await inTurn(4, () => balanced.client.put());
  expect(puts.filter((port) => port === 0).length).toBe(2);

  const before = first.gets + second.gets;
  const budget = { ratio: 0, minPerSecond: 0 };
  await using poor = balance(servers.addresses, { ...options, retry: { methods: [get], budget } });
  await inTurn(4, () => poor.client.get());
  expect(first.gets + second.gets - before).toBe(4);
});

test("a stream is not hedged, though its method may run twice", async () => {
  let begun = 0;
  await using servers = await startServers(2, {
    list: (call) => {
      begun++;
      setTimeout(() => call.end(), 100);
    },
  });
  const { path } = methods.list;
  const addresses = servers.map(({ address }) => address);
  const options = { ...withoutEjection, hedge: { afterMs: 10 }, retry: { methods: [path] } };
  await using balanced = balance(addresses, options);
  for (let call = 1; call <= 4; call++) {
    const stream = balanced.client.list();
    await once(stream.resume(), "end");
  }
  expect(begun).toBe(4);
});

test("a hedged call that a lower layer has tried already is not sent again", async () => {
  let answers = 0;
  await using given = await startServers(2, {
    get: (_call, callback) => {
      answers++;
      const metadata = new Metadata();
      metadata.set("evenkeel-retry", "no");
      callback({ code: status.UNAVAILABLE, details: "a node below is down", metadata });
    },
  });
  const addresses = given.map(({ address }) => address);
  const options = {
    ...withoutEjection,
    hedge: { afterMs: 2_000 },
    retry: { methods: [get], budget: false as const },
  };
  await using balanced = balance(addresses, options);
  const error = await balanced.client.get().catch((thrown: ServiceError) => thrown);
  expect(error).toMatchObject({ code: status.UNAVAILABLE, details: "a node below is down" });
  expect((error as ServiceError).metadata.get("grpc-retry-pushback-ms")).toEqual([]);
  expect(answers).toBe(1);
});

test("a hedged call that a leaving node passes over goes on for nothing", async () => {
  let passed = 0;
  await using leaving = await startRawPeer((stream) => {
    passed++;
    stream.session?.goaway();
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  await using good = await startServer();
  const budget = { ratio: 0, minPerSecond: 0 };
  const options = { ...withoutEjection, hedge: { afterMs: 5_000 }, retry: { methods: [get], budget } };
  await using balanced = balance([leaving.address, good.address], options);
  expect(tally(await inTurn(6, () => balanced.client.get()))).toEqual(new Map([[good.port, 6]]));
  expect(passed).toBeGreaterThan(0);
});

test.for([{ hedge: { afterMs: 5_000 } }, {}])(
  "a call that its connection cannot take goes on for nothing (%j)",
  async (hedging) => {
    await using servers = await startServers(2);
    const addresses = servers.map(({ address }) => address);
    const budget = { ratio: 0, minPerSecond: 0 };
    const options = { ...withoutEjection, ...hedging, retry: { methods: [get], budget } };
    await using balanced = balance(addresses, options);
    using recorder = new Recorder(balanced.balancer.name);
    const sessions = new Set<ClientHttp2Session>();
    const keep = (message: unknown): void => {
      const { session } = (message as { readonly stream: ClientHttp2Stream }).stream;
      if (session !== undefined) sessions.add(session as ClientHttp2Session);
    };
    subscribe("http2.client.stream.created", keep);
    await inTurn(2, () => balanced.client.get());
    unsubscribe("http2.client.stream.created", keep);
    expect(sessions.size).toBe(2);
    const [broken] = sessions;
    let refused = 0;
    if (broken !== undefined) {
      broken.request = () => {
        refused++;
        throw new Error("no stream");
      };
    }
    const ports = await inTurn(6, () => balanced.client.get());
    expect(ports.every((port) => port > 0)).toBe(true);
    expect(refused).toBe(1);
    expect(tally(recorder.ends.map(({ outcome }) => outcome))).toEqual(
      new Map([
        ["success", 8],
        ["ignored", 1],
      ]),
    );
    expect(balanced.balancer.nodes.map(({ inflight }) => inflight)).toEqual([0, 0]);
    broken?.destroy();
  },
);

test("with one node left no second attempt is made beside the first", async () => {
  const slow = () =>
    startServer({ get: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("0")), 100) });
  await using server = await slow();
  await using balanced = balance([server.address], {
    ...withoutEjection,
    hedge: { afterMs: 10 },
    retry: { methods: [get] },
  });
  await inTurn(4, () => balanced.client.get());
  expect(server.gets).toBe(4);
});

test("where nothing stands in for a hedged call that failed, its own status is the caller's", async () => {
  await using bad = await startServer({
    get: (_call, callback) => {
      const metadata = new Metadata();
      metadata.set("x-why", "full");
      callback({ code: status.UNAVAILABLE, details: "full", metadata });
    },
  });
  const budget = { ratio: 0, minPerSecond: 0 };
  const options = { ...withoutEjection, hedge: { afterMs: 5_000 }, retry: { methods: [get], budget } };
  await using balanced = balance([bad.address], options);
  for (const waitForReady of [false, true]) {
    const metadata = new Metadata({ waitForReady });
    const error = await balanced.client.get({}, metadata).catch((thrown: ServiceError) => thrown);
    expect(error).toMatchObject({ code: status.UNAVAILABLE, details: "full" });
    expect((error as ServiceError).metadata.getMap()).toMatchObject({ "x-why": "full" });
  }
  expect(bad.gets).toBe(2);
});

class AsyncServers implements AsyncDisposable {
  readonly list: readonly TestServer[];

  static async start(...starts: readonly (() => Promise<TestServer>)[]): Promise<AsyncServers> {
    return new AsyncServers(await Promise.all(starts.map((start) => start())));
  }

  private constructor(list: readonly TestServer[]) {
    this.list = list;
  }

  get addresses(): string[] {
    return this.list.map(({ address }) => address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.list.map((server) => server.stop()));
  }
}
