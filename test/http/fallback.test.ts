/** What a caller gets in place of an error: through request, fetch and a handler of its own. */
import { expect, test } from "vitest";
import { Balancer, type FailedCall } from "../../src/index.ts";
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
  expect(() => make({ headers: { a: 1 } })).toThrow(/fallback.headers.a must be a string, got 1/);
  expect(() => make({ body: {} })).toThrow(/fallback.body/);
  expect(() => make({ code: 1 })).toThrow(/unknown option fallback.code/);
});
