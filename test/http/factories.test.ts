/** `connections.factory`: undici's mocks and dispatchers of the program's own in place of its pools. */
import { Readable } from "node:stream";
import { Dispatcher, MockAgent } from "undici";
import { expect, test } from "vitest";
import { Balancer } from "../../src/index.ts";
import { expectNoBlame, inflight, rejection, startBalancer } from "./support/balancers.ts";

const get = { path: "/", method: "GET" } as const;

test("connections.factory with undici's MockPool", async () => {
  const agent = new MockAgent();
  agent.disableNetConnect();
  const pool = agent.get("http://10.0.0.1:8080");
  pool.intercept({ path: "/a", method: "GET" }).reply(200, { mocked: true }, { headers: { "x-a": "1" } });
  pool.intercept({ path: "/busy", method: "GET" }).reply(503, "busy").times(1);
  pool.intercept({ path: "/busy", method: "GET" }).reply(200, "free");
  pool.intercept({ path: "/broken", method: "POST" }).replyWithError(new Error("broken")).times(3);
  await using balancer = startBalancer(["http://10.0.0.1:8080"], {
    connections: { factory: (origin) => agent.get(origin.origin) },
  });
  const { statusCode, headers, body } = await balancer.request({ path: "/a", method: "GET" });
  expect(statusCode).toBe(200);
  expect(headers["x-a"]).toBe("1");
  expect(await body.json()).toEqual({ mocked: true });
  expect(await (await balancer.fetch("/busy")).text()).toBe("free");
  // A mock that replies with an error never started the request: that is safe to send again, three times in all.
  expect(await rejection(balancer.request({ path: "/broken", method: "POST" }))).toMatchObject({
    code: "ERR_NO_NODE",
    cause: { message: "broken" },
  });
  const unknown = await rejection(balancer.request({ path: "/unknown", method: "GET" }));
  expect(unknown.message).toMatch(/Mock dispatch not matched/);
  expect(inflight(balancer)).toBe(0);
  await balancer.close();
});

/** Answers by itself, without any connection. */
class OwnDispatcher extends Dispatcher {
  readonly paths: string[] = [];
  closed = 0;

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.paths.push(options.path);
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: null,
      rawTrailers: null,
      abort() {},
      pause() {},
      resume() {},
    };
    handler.onRequestStart?.(controller, null);
    handler.onResponseStart?.(controller, 200, { "x-own": "1" }, "OK");
    handler.onResponseData?.(controller, Buffer.from("own"));
    handler.onResponseEnd?.(controller, {});
    return true;
  }

  override async close(): Promise<void> {
    this.closed++;
  }

  override async destroy(): Promise<void> {
    this.closed++;
  }
}

test("connections.factory with a dispatcher of one's own, that answers within dispatch", async () => {
  const made: { origin: string; dispatcher: OwnDispatcher }[] = [];
  const balancer = startBalancer(["http://10.0.0.1:8080"], {
    connections: {
      factory: (origin) => {
        const dispatcher = new OwnDispatcher();
        made.push({ origin: origin.origin, dispatcher });
        return dispatcher;
      },
    },
  });
  for (const path of ["/a", "/b"]) {
    const { body, headers } = await balancer.request({ path, method: "GET" });
    expect(await body.text()).toBe("own");
    expect(headers["x-own"]).toBe("1");
  }
  expect(made.map(({ origin }) => origin)).toEqual(["http://10.0.0.1:8080"]);
  expect(made[0]?.dispatcher.paths).toEqual(["/a", "/b"]);
  await balancer.close();
  expect(made[0]?.dispatcher.closed).toBe(1);
});

test("a factory that throws fails the call with its error, and blames no node", async () => {
  const thrown = new Error("no dispatcher");
  await using balancer = startBalancer(["http://10.0.0.1:8080"], {
    connections: {
      factory: () => {
        throw thrown;
      },
    },
  });
  expect(await rejection(balancer.request(get))).toBe(thrown);
  expectNoBlame(balancer);
  await balancer.close();
});

/** Reads the whole body, and only then finds that it cannot connect; answers the third time. */
class EagerDispatcher extends Dispatcher {
  readonly bodies: string[] = [];

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    const fail = (body: string) => {
      this.bodies.push(body);
      handler.onResponseError?.(null as unknown as Dispatcher.DispatchController, refused);
    };
    readAll(options.body as unknown as AsyncIterable<Uint8Array>).then(fail, fail);
    return true;
  }

  override close(callback?: () => void): Promise<void> {
    callback?.();
    return Promise.resolve();
  }

  override destroy(...given: readonly unknown[]): Promise<void> {
    for (const callback of given) if (typeof callback === "function") callback();
    return Promise.resolve();
  }
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of body) text += Buffer.from(chunk).toString();
  return text;
}

test.each([
  ["a generator", "hello", 3],
  ["a stream", "hello", 3],
  ["a generator", "long".repeat(20_000), 1],
  ["a stream", "long".repeat(20_000), 1],
])(
  "a body that was read goes out whole or not again, though the request never started: %s",
  async (kind, text, times) => {
    const dispatcher = new EagerDispatcher();
    await using orders = new Balancer({
      name: "orders",
      discovery: ["http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8082"],
      connections: { factory: () => dispatcher },
    });
    const stream = Readable.from([text]);
    const body = (kind === "a stream" ? stream : stream.iterator()) as Readable;
    await expect(orders.request({ path: "/", method: "POST", body })).rejects.toThrow("ECONNREFUSED");
    expect(dispatcher.bodies).toEqual(Array.from({ length: times }, () => text));
  },
);
