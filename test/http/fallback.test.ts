/** What a caller gets in place of an error: through request, fetch and a handler of its own. */
import { AsyncLocalStorage } from "node:async_hooks";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { interceptors } from "undici";
import { expect, test } from "vitest";
import { Balancer, type FailedCall } from "../../src/index.ts";
import { CallContext, runInContext } from "../../src/resilience/call-context.ts";
import { until } from "../support/until.ts";
import { rejection, startBalancer } from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { refusingAddress, startServer } from "./support/server.ts";

const get = { path: "/x", method: "GET" } as const;
const stored = {
  status: 203,
  headers: { "Content-Type": "text/plain", "x-from": "store" },
  body: "yesterday",
};

test("a static response stands in for a service that cannot be reached", async () => {
  await using balancer = startBalancer([await refusingAddress()], { fallback: stored });
  const { statusCode, headers, body } = await balancer.request(get);
  expect(statusCode).toBe(203);
  expect(headers).toMatchObject({ "content-type": "text/plain", "x-from": "store", "content-length": "9" });
  expect(await body.text()).toBe("yesterday");
  const response = await balancer.fetch("/x");
  expect(response.status).toBe(203);
  expect(response.headers.get("x-from")).toBe("store");
  expect(await response.text()).toBe("yesterday");
});

test("a function is told what failed, and may leave it at the error", async () => {
  const failed: FailedCall[] = [];
  await using balancer = startBalancer([await refusingAddress()], {
    fallback: async (call) => {
      failed.push(call);
      return call.path === "/x" ? { body: JSON.stringify([]) } : undefined;
    },
  });
  expect(await (await balancer.fetch("/x")).json()).toEqual([]);
  expect(await rejection(balancer.request({ path: "/y", method: "POST" }))).toMatchObject({
    code: "ERR_NO_NODE",
  });
  expect(failed).toMatchObject([
    { service: "orders", method: "GET", path: "/x", error: { code: "ERR_NO_NODE" } },
    { method: "POST", path: "/y" },
  ]);
});

test("a status that is worth another try is made good too, once there is none left", async () => {
  await using server = await startServer((request, response) => {
    response.writeHead(request.url === "/x" ? 503 : 500).end("no");
  });
  await using balancer = startBalancer([server], { fallback: stored, retry: { backoffMs: 1 } });
  const { statusCode, body } = await balancer.request(get);
  expect([statusCode, await body.text()]).toEqual([203, "yesterday"]);
  expect(server.arrivals).toHaveLength(3);
  // Any other status is the service's answer.
  const answer = await balancer.request({ path: "/y", method: "GET" });
  expect([answer.statusCode, await answer.body.text()]).toEqual([500, "no"]);
});

test("what a fallback throws, or what is no response, is the error", async () => {
  await using throwing = startBalancer([await refusingAddress()], {
    fallback: () => {
      throw new Error("the store is empty");
    },
  });
  expect((await rejection(throwing.request(get))).message).toBe("the store is empty");
  await using wrong = startBalancer([await refusingAddress()], { fallback: () => ({ status: 42 }) });
  expect((await rejection(wrong.request(get))).message).toMatch(/fallback.status must be .* got 42/);
});

test("the caller's abort and an answer that breaks off are no case for it", async () => {
  await using server = await startServer((request, response) => {
    if (request.url === "/cut") {
      response.writeHead(200, { "content-length": "10" });
      response.write("half", () => response.destroy());
    }
  });
  await using balancer = startBalancer([server], { fallback: stored });
  const controller = new AbortController();
  const aborted = rejection(balancer.request({ ...get, signal: controller.signal }));
  controller.abort();
  expect((await aborted).name).toBe("AbortError");
  const { body } = await balancer.request({ path: "/cut", method: "GET" });
  expect(await rejection(body.text())).toBeInstanceOf(Error);
});

test("a closed balancer is the program's own doing, and stays an error", async () => {
  const balancer = startBalancer([await refusingAddress()], { fallback: stored });
  await balancer.close();
  expect(await rejection(balancer.request(get))).toMatchObject({ code: "ERR_CLOSED" });
});

test("a caller that pauses is given nothing until it resumes, and one that aborts nothing more", async () => {
  await using balancer = startBalancer([await refusingAddress()], { fallback: stored });
  const paused = new RecordingHandler({ onResponseStart: (controller) => controller.pause() });
  balancer.dispatch(get, paused);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(paused.events).toEqual(["start", "status 203"]);
  paused.controller?.resume();
  await paused.done;
  expect(Buffer.concat(paused.chunks).toString()).toBe("yesterday");
  const aborting = new RecordingHandler({
    onResponseStart: (controller) => controller.abort(new Error("enough")),
  });
  balancer.dispatch(get, aborting);
  await aborting.done;
  expect(aborting.events).toEqual(["start", "status 203", "error"]);
  expect(aborting.error?.message).toBe("enough");
});

test("bad fallbacks are refused when the balancer is made", () => {
  const make = (fallback: unknown) =>
    new Balancer({ name: "orders", discovery: [], fallback: fallback as never });
  expect(() => make({ status: 99 })).toThrow(/fallback.status/);
  expect(() => make({ headers: { a: 1 } })).toThrow(
    /fallback.headers.a must be a string of one line .* got 1/,
  );
  expect(() => make({ headers: { "a b": "" } })).toThrow(/fallback.headers must be named as headers are/);
  expect(() => make({ headers: { a: "1\r\nset-cookie: b=2" } })).toThrow(
    /fallback.headers.a must be a string/,
  );
  expect(() => make({ body: {} })).toThrow(/fallback.body/);
  expect(() => make({ code: 1 })).toThrow(/unknown option fallback.code/);
});

test("what has no body in HTTP has none here", async () => {
  for (const status of [204, 205, 304]) {
    await using balancer = startBalancer([await refusingAddress()], { fallback: { ...stored, status } });
    const { statusCode, headers, body } = await balancer.request(get);
    expect([statusCode, await body.text()]).toEqual([status, ""]);
    expect(headers["content-length"]).toBeUndefined();
    expect((await balancer.fetch("/x")).status).toBe(status);
  }
  await using balancer = startBalancer([await refusingAddress()], { fallback: stored });
  const { headers, body } = await balancer.request({ path: "/x", method: "HEAD" });
  expect(headers["content-length"]).toBe("9");
  expect(await body.text()).toBe("");
});

test("a function runs in the context of its call's caller, whatever made that fail", async () => {
  await using server = await startServer(() => {});
  const storage = new AsyncLocalStorage<string>();
  await using balancer = startBalancer([server], {
    timeouts: { totalMs: 100 },
    fallback: () => ({ body: storage.getStore() ?? "nobody" }),
  });
  const ask = async () => (await balancer.request(get)).body.text();
  // The second one's time ends by the timer that the first one set.
  const first = storage.run("first", ask);
  const second = storage.run("second", ask);
  expect(await Promise.all([first, second])).toEqual(["first", "second"]);
  const fallback = () => storage.getStore();
  const call = () => balancer.cluster.call(() => new Promise(() => {}), { fallback });
  const [third, fourth] = [storage.run("third", call), storage.run("fourth", call)];
  expect(await Promise.all([third, fourth])).toEqual(["third", "fourth"]);
});

test("a caller that gave up gets none, though its reason is the failure of another service", async () => {
  await using server = await startServer(() => {});
  await using other = startBalancer([await refusingAddress()]);
  const reason = await rejection(other.request(get));
  await using balancer = startBalancer([server], { fallback: stored });
  const controller = new AbortController();
  const { signal } = controller;
  const request = rejection(balancer.request({ ...get, signal }));
  const call = rejection(
    balancer.cluster.call(() => new Promise(() => {}), { signal, fallback: () => "instead" }),
  );
  controller.abort(reason);
  expect(await request).toBe(reason);
  expect(await call).toBe(reason);
});

test("a failure that nothing stood in for is noted, for the caller of the handler that made the call", async () => {
  const endsAt = Number.POSITIVE_INFINITY;
  await using server = await startServer((_, response) => response.writeHead(500).end());
  const cases = [
    { nodes: [await refusingAddress()], fallback: stored, isNoted: false },
    { nodes: [await refusingAddress()], fallback: () => undefined, isNoted: true },
    { nodes: [server], fallback: stored, isNoted: true },
  ];
  for (const { nodes, fallback, isNoted } of cases) {
    await using balancer = startBalancer(nodes, { fallback });
    const context = new CallContext({ endsAt });
    await runInContext(context, () => balancer.request(get)).then(
      ({ body }) => body.dump(),
      () => {},
    );
    expect(context.failedBelow).toBe(isNoted);
  }
});

test("undici's own ways of calling get it, and interceptors see it as the answer", async () => {
  await using balancer = startBalancer([await refusingAddress()], { fallback: stored });
  const chunks: Buffer[] = [];
  const { trailers } = await balancer.stream(get, ({ statusCode }) => {
    expect(statusCode).toBe(203);
    return new Writable({
      write(chunk, _, done) {
        chunks.push(chunk);
        done();
      },
    });
  });
  expect([Buffer.concat(chunks).toString(), trailers]).toEqual(["yesterday", {}]);
  const piped = balancer.pipeline({ path: "/x", method: "PUT" }, ({ body }) => body);
  expect(await text(piped.end("sent"))).toBe("yesterday");
  const composed = balancer.compose(interceptors.decompress(), interceptors.responseError());
  expect(await (await composed.request(get)).body.text()).toBe("yesterday");
});

test("a handler that throws is told so, whenever it does", async () => {
  await using balancer = startBalancer([await refusingAddress()], { fallback: stored });
  const hooks = ["onResponseStart", "onResponseData", "onResponseEnd"] as const;
  for (const hook of hooks) {
    const handler = new RecordingHandler({
      [hook]: () => {
        throw new Error(`${hook} threw`);
      },
    });
    balancer.dispatch(get, handler);
    await until("the handler is told", () => handler.events.at(-1) === "error", 2_000);
    expect(handler.error?.message).toBe(`${hook} threw`);
  }
});
