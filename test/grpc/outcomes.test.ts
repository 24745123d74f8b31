/** What becomes of a call tells of its node: by status, with streams apart, and with nothing left over. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { type CallOptions, credentials, Metadata, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { attemptEnds } from "../../src/core/events.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { leastRequest, list, type Policy } from "../../src/index.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { collectGarbage } from "../support/collect-garbage.ts";
import { balance, eventually, inTurn } from "./support/clients.ts";
import { recordCalls } from "./support/record-calls.ts";
import { methods, startServer, startServers } from "./support/servers.ts";

const statuses = Object.values(status).filter(
  (code): code is status => typeof code === "number" && code !== 0,
);
const heldAgainstNodes = [
  "UNKNOWN",
  "RESOURCE_EXHAUSTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "DEADLINE_EXCEEDED",
];

test("statuses that speak against the node are failures, and answers are not", async () => {
  let code = 0;
  await using server = await startServer({
    get: (_call, callback) => callback({ code, details: "told to" }),
  });
  await using balanced = balance([server.address], { retry: false });
  using ends = recordEnds(balanced.balancer.name);
  for (code of statuses) {
    const before = ends.seen.length;
    await expect(balanced.client.get()).rejects.toMatchObject({ code, details: "told to" });
    const isHeld = heldAgainstNodes.includes(status[code] ?? "");
    const expected = isHeld ? "failure" : code === status.CANCELLED ? "ignored" : "success";
    expect(
      ends.seen.slice(before).map(({ outcome }) => outcome),
      status[code],
    ).toEqual([expected]);
  }
});

test("running out of time and being given up by the caller are told apart", async () => {
  await using server = await startServer({ get: () => {} });
  await using balanced = balance([server.address]);
  using ends = recordEnds(balanced.balancer.name);
  await expect(balanced.client.get({ deadline: Date.now() + 60 })).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
  });
  const { path, requestSerialize, responseDeserialize } = methods.get;
  const call = balanced.client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    Buffer.alloc(0),
    () => {},
  );
  await eventually("it is under way", () => server.gets === 2);
  call.cancel();
  await eventually("both have ended", () => ends.seen.length === 2);
  expect(ends.seen.map(({ outcome, reason }) => `${outcome} ${reason}`)).toEqual([
    "failure timeout",
    "ignored aborted",
  ]);
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 1, failures: 1 });
});

test("a deadline that leaves less time than any answer takes speaks against nobody", async () => {
  await using server = await startServer({
    get: (_call, callback) => void setTimeout(() => callback(null, Buffer.from("1")), 40),
  });
  await using balanced = balance([server.address]);
  using ends = recordEnds(balanced.balancer.name);
  // So many tell how little time an answer takes.
  await Promise.all(Array.from({ length: 20 }, () => balanced.client.get()));
  for (const leftMs of [-10, 0, 10, 20]) {
    const call = balanced.client.get({ deadline: Date.now() + leftMs });
    await expect(call).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
  }
  expect(ends.seen.slice(20).filter(({ outcome }) => outcome !== "ignored")).toEqual([]);
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 20, failures: 0 });
});

test("how long credentials take is not the node's time", async () => {
  await using server = await startServer();
  await using balanced = balance([server.address], { retry: false, timeouts: { attemptMs: 150 } });
  await balanced.client.get();
  const slow = credentials.createFromMetadataGenerator((_parameters, callback) => {
    setTimeout(() => callback(null, new Metadata()), 200);
  });
  expect(await inTurn(3, () => balanced.client.get({ credentials: slow }))).toEqual(
    Array(3).fill(server.port),
  );
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 4, failures: 0 });
});

test("a call that is given up while its credentials take their time has told nothing of how fast its node is", async () => {
  await using server = await startServer();
  const clock = new ManualClock();
  const told: number[] = [];
  const policy: Policy = {
    ...leastRequest(),
    observe: (_node, latencyMs) => void told.push(latencyMs),
  };
  await using balanced = balance([server.address], { clock, policy, retry: false });
  await balanced.client.get();
  const [node] = balanced.balancer.nodes;
  const before = node?.latencyMs;
  const { path, requestSerialize, responseDeserialize } = methods.get;
  for (let index = 0; index < 5; index++) {
    let isAsked = false;
    const hanging = credentials.createFromMetadataGenerator(() => {
      isAsked = true;
    });
    const ended = new Promise((resolve) => {
      const call = balanced.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        Buffer.alloc(0),
        { credentials: hanging },
        (error) => resolve(error?.code),
      );
      void eventually("the credentials are asked for", () => isAsked).then(() => {
        clock.advance(2_000);
        call.cancel();
      });
    });
    expect(await ended).toBe(status.CANCELLED);
  }
  expect(server.gets).toBe(1);
  expect(told).toHaveLength(1);
  expect(node?.latencyMs).toBe(before);
  expect(node).toMatchObject({ inflight: 0, calls: 1 });
});

test("what goes wrong on this side is the call's own fault, and no node's", async () => {
  await using server = await startServer({
    chat: (call) => {
      call.on("data", (bytes: Buffer) => call.write(bytes));
      call.on("end", () => call.end());
    },
  });
  const channelOptions = { "grpc.max_send_message_length": 10 };
  await using balanced = balance([server.address], { limits: { inflight: 10 } }, channelOptions);
  const { client, balancer } = balanced;
  using ends = recordEnds(balancer.name);
  using calls = recordCalls(balancer.name);
  await client.get();
  const tooLarge = client.unary(methods.get, {}, new Metadata(), Buffer.alloc(100));
  await expect(tooLarge).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  const broken = (): never => {
    throw new Error("no such field");
  };
  const unreadable = client.unary({ ...methods.get, responseDeserialize: broken });
  await expect(unreadable).rejects.toMatchObject({ code: status.INTERNAL });
  const unwritable = client.unary({ ...methods.get, requestSerialize: broken });
  await expect(unwritable).rejects.toMatchObject({ code: status.INTERNAL });
  const stream = client.makeBidiStreamRequest(
    methods.chat.path,
    (bytes: Buffer) => (bytes.length > 1 ? broken() : bytes),
    (bytes: Buffer) => bytes,
  );
  stream.on("data", () => stream.write(Buffer.alloc(2)));
  const streamEnds = once(stream, "error");
  stream.write(Buffer.alloc(1));
  const [streamError] = await streamEnds;
  expect(streamError).toMatchObject({ code: status.INTERNAL });
  await eventually("all are told of", () => calls.seen.length === 5);
  expect(ends.seen.filter(({ outcome }) => outcome === "failure")).toEqual([]);
  expect(calls.seen).toEqual(["success", "ignored", "ignored", "ignored", "ignored"]);
  expect(balancer.nodes[0]).toMatchObject({ inflight: 0, failures: 0 });
  expect(balancer.cluster.admissionState).toMatchObject({ inflight: 0 });
});

test("an answer is a success of the call, whatever it says", async () => {
  let code = 0;
  await using server = await startServer({ get: (_call, callback) => callback({ code }) });
  await using balanced = balance([server.address], { retry: false });
  using calls = recordCalls(balanced.balancer.name);
  for (code of [status.NOT_FOUND, status.INTERNAL, status.CANCELLED]) {
    await expect(balanced.client.get()).rejects.toMatchObject({ code });
  }
  expect(calls.seen).toEqual(["success", "failure", "ignored"]);
});

test("a stream is in flight until it ends, and its length is no latency", async () => {
  let end = (): void => {};
  await using server = await startServer({
    list: (call) => {
      call.write(Buffer.from("a"));
      end = () => call.end();
    },
  });
  await using balanced = balance([server.address]);
  await inTurn(20, () => balanced.client.get());
  const latencyMs = balanced.balancer.nodes[0]?.latencyMs ?? 0;
  const stream = balanced.client.list();
  const pieces: string[] = [];
  stream.on("data", (bytes: Buffer) => pieces.push(String(bytes)));
  await eventually("the stream has begun", () => pieces.length === 1);
  expect(balanced.balancer.nodes[0]?.inflight).toBe(1);
  // Longer than any unary call took; if it counted, the average would rise by a tenth of it at least.
  await new Promise((resolve) => setTimeout(resolve, 20 * latencyMs + 300));
  end();
  await eventually("the stream has ended", () => balanced.balancer.nodes[0]?.inflight === 0);
  const after = balanced.balancer.nodes[0];
  expect(after?.latencyMs).toBeLessThanOrEqual(latencyMs + 5);
  expect(after).toMatchObject({ calls: 21, failures: 0 });
});

test("a stream is not cut by the timeouts of unary calls, and a unary call is", async () => {
  await using server = await startServer({
    get: () => {},
    list: (call) => {
      setTimeout(() => {
        call.write(Buffer.from("late"));
        call.end();
      }, 300);
    },
  });
  await using balanced = balance([server.address], {
    timeouts: { attemptMs: 100, totalMs: 200 },
    retry: false,
  });
  const stream = balanced.client.list();
  const ended = new Promise<void>((resolve, reject) => {
    stream.on("error", reject);
    stream.on("end", resolve);
    stream.resume();
  });
  await expect(balanced.client.get()).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
    details: expect.stringContaining("no answer within 100 ms"),
  });
  await ended;
});

test("a stream of a client without our interceptor is one once it goes on", async () => {
  let answers = false;
  await using server = await startServer({
    get: (_call, callback) => {
      if (answers) callback(null, Buffer.from("1"));
    },
    list: (call) => {
      call.write(Buffer.from("at once"));
      setTimeout(() => call.end(), 900);
    },
  });
  const nodes = list([server.address]);
  await using balanced = balance(
    nodes,
    {
      timeouts: { attemptMs: 300, totalMs: 600 },
      retry: false,
      deadlineHeader: "grpc-timeout",
      connections: { drainMs: 100 },
    },
    { interceptors: [] },
  );
  const { balancer, client } = balanced;
  answers = true;
  await inTurn(5, () => client.get());
  await once(client.list().resume(), "end");
  expect(balancer.nodes[0]).toMatchObject({ calls: 6, failures: 0, inflight: 0 });
  expect(balancer.nodes[0]?.latencyMs).toBeLessThan(200);
  answers = false;
  await expect(client.get()).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
  // It ends with its node, as streams do.
  const cut = client.list().resume();
  const ended = once(cut, "error");
  await new Promise((resolve) => setTimeout(resolve, 500));
  nodes.set([]);
  const [error] = await ended;
  expect(error).toMatchObject({ code: status.UNAVAILABLE, details: expect.stringContaining("drainMs") });
});

test("a call that is cancelled as it starts is not sent, and leaves no attempt behind", async () => {
  await using server = await startServer();
  await using balanced = balance([server.address]);
  await balanced.client.get();
  // No credentials, and so nobody who tells that the attempt is not made.
  const failing = credentials.createFromMetadataGenerator((_parameters, callback) =>
    setImmediate(() => callback(new Error("no token"))),
  );
  const { path, requestSerialize, responseDeserialize } = methods.get;
  for (const options of [{}, { credentials: failing }]) {
    const code = await new Promise((resolve) => {
      const call = balanced.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        Buffer.alloc(0),
        options,
        (error) => resolve(error?.code),
      );
      call.cancel();
    });
    expect(code).toBe(status.CANCELLED);
  }
  expect(await balanced.client.get()).toBe(server.port);
  expect(server.gets).toBe(2);
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 2 });
});

test("whatever way 2,000 calls are given up, nothing stays in flight", async () => {
  await using servers = await startServers(3, {
    get: (_call, callback) => {
      setImmediate(() => callback(null, Buffer.from("1")));
    },
  });
  await using balanced = balance(
    servers.map(({ address }) => address),
    { policy: leastRequest() },
  );
  const random = createSeededRandom(7);
  const { path, requestSerialize, responseDeserialize } = methods.get;
  let ended = 0;
  for (let index = 0; index < 2_000; index++) {
    const metadata = new Metadata();
    // Credentials of a call are awaited between the pick and the start: the place where picks are abandoned.
    const options: CallOptions =
      index % 2 === 0
        ? {}
        : {
            credentials: credentials.createFromMetadataGenerator((_parameters, callback) => {
              setImmediate(() => callback(index % 10 === 1 ? new Error("no token") : null, new Metadata()));
            }),
          };
    const call = balanced.client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.alloc(0),
      metadata,
      options,
      () => ended++,
    );
    const draw = random();
    if (draw < 0.2) call.cancel();
    else if (draw < 0.4) process.nextTick(() => call.cancel());
    else if (draw < 0.6) queueMicrotask(() => call.cancel());
    else if (draw < 0.8) setImmediate(() => call.cancel());
    if (index % 100 === 0) await new Promise(setImmediate);
  }
  await eventually("all have ended", () => ended === 2_000);
  await eventually("nothing is in flight", () =>
    balanced.balancer.nodes.every(({ inflight }) => inflight === 0),
  );
});

test("the HTTP/2 stream of a call that is over, which Node keeps for long, does not keep the caller", async () => {
  await using server = await startServer({
    put: (_call, callback) => callback({ code: status.INTERNAL }),
    list: (call) => call.end(),
  });
  await using balanced = balance([server.address]);
  await balanced.client.get();
  const streams: unknown[] = [];
  const keep = (message: unknown): void => void streams.push(message);
  subscribe("http2.client.stream.created", keep);
  const callers: WeakRef<object>[] = [];
  for (const { path, requestSerialize, responseDeserialize } of [methods.get, methods.put]) {
    await new Promise<void>((resolve) => {
      const callback = (): void => resolve();
      callers.push(new WeakRef(callback));
      balanced.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        Buffer.alloc(0),
        callback,
      );
    });
  }
  await new Promise<void>((resolve) => {
    const stream = balanced.client.list();
    callers.push(new WeakRef(stream));
    stream.on("status", () => resolve()).resume();
  });
  unsubscribe("http2.client.stream.created", keep);
  await collectGarbage();
  expect(callers.map((caller) => caller.deref() === undefined)).toEqual([true, true, true]);
  expect(streams).toHaveLength(3);
});

interface Ends extends Disposable {
  readonly seen: readonly { readonly outcome: string; readonly reason: string; readonly address: string }[];
}

/** Records the ends of the attempts of one service. */
function recordEnds(service: string): Ends {
  const seen: Ends["seen"][number][] = [];
  const record = (event: unknown): void => {
    const ended = event as Ends["seen"][number] & { readonly service: string };
    if (ended.service === service) seen.push(ended);
  };
  attemptEnds.subscribe(record);
  return { seen, [Symbol.dispose]: () => attemptEnds.unsubscribe(record) };
}
