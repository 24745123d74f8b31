/** A test balancer is the real one over made-up nodes: each attempt is answered by a function, in virtual time. */
import { describe, expect, test } from "vitest";
import { BalancerError } from "../core/errors.ts";
import { list } from "../discovery/list.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "./manual-clock.ts";
import { createTestBalancer } from "./test-balancer.ts";
import type { TestAnswer } from "./test-node.ts";

const [a, b] = ["http://10.0.0.1:8080", "http://10.0.0.2:8080"];

function refused(): Error {
  return Object.assign(new Error("refused on purpose"), { code: "ECONNREFUSED" });
}

describe("what respond is given", () => {
  test("node, method, path, headers and body, of fetch and of request", async () => {
    await using orders = createTestBalancer({ name: "orders", nodes: [a], respond: () => undefined });
    await orders.fetch("/v1/orders?x=1", { method: "POST", body: "text", headers: { "X-User": "7" } });
    await orders.request({ path: "/v1", method: "PUT", body: Buffer.from("bytes"), headers: ["X-A", "1"] });
    const [first, second] = orders.calls;
    expect(first).toMatchObject({
      node: a,
      method: "POST",
      path: "/v1/orders?x=1",
      body: "text",
      attempt: 1,
    });
    expect(first?.headers["x-user"]).toBe("7");
    expect(second).toMatchObject({ method: "PUT", path: "/v1", body: "bytes", headers: { "x-a": "1" } });
  });

  test("bodies in every form", async () => {
    await using orders = createTestBalancer({ nodes: [a], respond: () => undefined });
    const form = new FormData();
    form.append("field", "value");
    const bodies = [new URLSearchParams({ q: "1" }), new Blob(["blob"]), form, new Response("stream").body];
    for (const body of bodies)
      await orders.fetch("/", { method: "POST", body, duplex: "half" } as RequestInit);
    async function* pieces() {
      yield "one ";
      yield Buffer.from("two");
    }
    await orders.request({ path: "/", method: "POST", body: pieces() as never });
    expect(orders.calls.map(({ body }) => body)).toEqual([
      "q=1",
      "blob",
      expect.stringMatching(/name="field"\r\n\r\nvalue/),
      "stream",
      "one two",
    ]);
  });
});

describe("what respond returns", () => {
  const answerOf = async (answer: TestAnswer | undefined) => {
    await using orders = createTestBalancer({ nodes: [a], retry: false, respond: async () => answer });
    const response = await orders.fetch("/");
    return { response, text: await response.text() };
  };

  test("nothing is an empty 200", async () => {
    const { response, text } = await answerOf(undefined);
    expect([response.status, text]).toEqual([200, ""]);
  });

  test("status, headers and body as they are", async () => {
    const { response, text } = await answerOf({ status: 404, headers: { "X-A": ["1", "2"] }, body: "none" });
    expect([response.status, response.headers.get("x-a"), text]).toEqual([404, "1, 2", "none"]);
  });

  test("values as JSON", async () => {
    const { response, text } = await answerOf({ body: { id: 42 } });
    expect([response.headers.get("content-type"), text]).toEqual(["application/json", '{"id":42}']);
  });

  test("an error without a connection is tried again elsewhere, whatever the method", async () => {
    await using orders = createTestBalancer({
      nodes: [a, b],
      policy: roundRobin({ random: () => 0 }),
      respond: ({ attempt }) => (attempt === 1 ? refused() : { body: "fine" }),
    });
    expect(await (await orders.fetch("/", { method: "POST", body: "x" })).text()).toBe("fine");
    expect(orders.calls.map(({ attempt, body }) => [attempt, body])).toEqual([
      [1, "x"],
      [2, "x"],
    ]);
    expect(new Set(orders.calls.map(({ node }) => node))).toEqual(new Set([a, b]));
    expect(orders.nodes.map(({ state }) => state).sort()).toEqual(["down", "ready"]);
  });

  test("a broken connection is not made good for a POST, since the node may have the call", async () => {
    await using orders = createTestBalancer({
      respond: () => Object.assign(new Error("broken"), { code: "ECONNRESET" }),
    });
    const error = await orders.request({ path: "/", method: "POST", body: "x" }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BalancerError);
    expect(error.cause.message).toBe("broken");
    expect(orders.calls).toHaveLength(1);
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      "a throw",
      () => {
        throw new Error("on purpose");
      },
      /^respond: on purpose$/,
    ],
    [
      "a rejection",
      async () => {
        throw new Error("on purpose");
      },
      /^respond: on purpose$/,
    ],
    ["an unknown field", () => ({ stauts: 503 }), /unknown option answer\.stauts .*did you mean "status"/],
    ["a status of no answer", () => ({ status: 100 }), /answer\.status must be an integer from 200 to 599/],
    ["a word", () => "fine", /answer must be an object, got "fine"/],
  ])("%s is the test's mistake: not tried again, held against no node", async (_what, respond, message) => {
    await using orders = createTestBalancer({ respond: respond as () => undefined });
    await expect(orders.request({ path: "/", method: "GET" })).rejects.toThrow(message);
    expect(orders.calls).toHaveLength(1);
    expect(orders.nodes.every(({ failures, state }) => failures === 0 && state === "ready")).toBe(true);
  });
});

describe("in virtual time", () => {
  test("a delay passes on the clock, and a deadline before it leaves no timer", async () => {
    const clock = new ManualClock();
    const orders = createTestBalancer({
      clock,
      retry: { attempts: 2, backoffMs: 0 },
      timeouts: { attemptMs: 50 },
      respond: ({ attempt }) => (attempt === 1 ? { delayMs: 60_000 } : { delayMs: 20, body: "late" }),
    });
    let answer: string | undefined;
    const call = orders.fetch("/").then(async (response) => {
      answer = await response.text();
    });
    await clock.advanceAsync(49);
    expect(orders.calls).toHaveLength(1);
    await clock.advanceAsync(2);
    expect(orders.calls).toHaveLength(2);
    expect(answer).toBeUndefined();
    await clock.advanceAsync(20);
    await call;
    expect(answer).toBe("late");
    await orders.close();
    expect(clock.pendingTimers).toBe(0);
  });

  test("an attempt that a node keeps is not sent again for a POST", async () => {
    const clock = new ManualClock();
    await using orders = createTestBalancer({
      clock,
      timeouts: { attemptMs: 50 },
      respond: () => new Promise<undefined>(() => {}),
    });
    const failed = orders.request({ path: "/", method: "POST", body: "x" }).catch((error) => error);
    await clock.advanceAsync(51);
    expect(await failed).toMatchObject({ code: "ERR_DEADLINE" });
    expect(orders.calls).toHaveLength(1);
    expect(orders.nodes.every(({ inflight }) => inflight === 0)).toBe(true);
  });

  test("nodes are ejected and come back, to the millisecond", async () => {
    const clock = new ManualClock();
    let broken = true;
    await using orders = createTestBalancer({
      clock,
      nodes: [a, b],
      policy: roundRobin({ random: () => 0 }),
      respond: ({ node }) => ({ status: node === a && broken ? 500 : 200 }),
    });
    for (let call = 0; call < 10; call++) await orders.fetch("/");
    const stateOf = (address: string) => orders.nodes.find((node) => node.address === address)?.state;
    expect(stateOf(a)).toBe("ejected");
    broken = false;
    clock.advance(5_000);
    expect(stateOf(a)).toBe("probing");
    await orders.fetch("/");
    expect(stateOf(a)).toBe("ready");
  });
});

test("the same seed gives the same calls", async () => {
  const nodesOf = async (): Promise<readonly string[]> => {
    await using orders = createTestBalancer({ clock: new ManualClock(), respond: () => ({ body: "fine" }) });
    for (let call = 0; call < 20; call++) await orders.fetch(`/${call}`);
    return orders.calls.map(({ node }) => node);
  };
  const nodes = await nodesOf();
  expect(await nodesOf()).toEqual(nodes);
  expect(new Set(nodes).size).toBe(3);
});

test("the nodes may be a list that the test changes, and addresses come as they are known", async () => {
  const nodes = list(["http://orders-1"]);
  await using orders = createTestBalancer({ nodes, respond: () => undefined });
  await orders.fetch("/");
  nodes.set(["unix:/run/orders.sock"]);
  await orders.fetch("/");
  expect(orders.calls.map(({ node }) => node)).toEqual(["http://orders-1", "unix:/run/orders.sock"]);
  expect(orders.nodes.map(({ address }) => address)).toEqual(["unix:/run/orders.sock"]);
});

test("an abort and a destroy end what waits for its answer", async () => {
  const clock = new ManualClock();
  const orders = createTestBalancer({ clock, respond: () => ({ delayMs: 1_000 }) });
  const controller = new AbortController();
  const aborted = orders.fetch("/", { signal: controller.signal }).catch((error) => error.name);
  const destroyed = orders.request({ path: "/", method: "GET" }).catch((error) => error.message);
  await clock.advanceAsync(1);
  controller.abort();
  expect(await aborted).toBe("AbortError");
  await orders.destroy(new Error("enough"));
  expect(await destroyed).toBe("enough");
  expect(clock.pendingTimers).toBe(0);
});

test("options are checked as a Balancer's are", () => {
  expect(() => createTestBalancer({} as never)).toThrow(/respond must be given/);
  expect(() => createTestBalancer({ respond: () => undefined, polcy: 1 } as never)).toThrow(
    /did you mean "policy"/,
  );
});
