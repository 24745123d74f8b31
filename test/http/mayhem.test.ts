/**
 * Everything at once: servers that fail in every way, callers that abort at any moment, all kinds of bodies.
 * Whatever happens, each call ends once, no body arrives short, no POST runs twice, and nothing is left.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { expectIdle, startBalancer } from "./support/balancers.ts";
import { plainBodies } from "./support/bodies.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { type Answer, type Arrival, refusingAddress, startServer } from "./support/server.ts";

const calls = 800;

/** Numbers that look random and are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

test.each([1, 2, 3])(
  "each call ends once, whole or with an error, and nothing is left: seed %i",
  async (seed) => {
    const random = seeded(seed);
    const taken: { key: string; whole: Promise<boolean> }[] = [];
    const isWhole = async ({ headers, body }: Arrival): Promise<boolean> =>
      (await body).length === Number(headers["x-length"]);
    const succeed: Answer = (_, response, arrival) => {
      arrival.body.then(
        () => {
          taken.push({ key: String(arrival.headers["x-key"]), whole: isWhole(arrival) });
          response.end("whole answer");
        },
        () => {},
      );
    };
    const misbehave: Answer = (request, response, arrival) => {
      const dice = random();
      if (dice < 0.6) succeed(request, response, arrival);
      else if (dice < 0.7) response.writeHead(503, { "retry-after": "0" }).end("busy");
      else if (dice < 0.75) request.socket.resetAndDestroy();
      else if (dice < 0.8) request.once("end", () => request.socket.destroy());
      else if (dice < 0.85) setTimeout(() => succeed(request, response, arrival), 30);
      else if (dice < 0.9)
        response.writeHead(200, { "content-length": "12" }).write("short", () => response.destroy());
      else if (dice < 0.95)
        response.writeEarlyHints({ link: "</a>; rel=preload" }, () => request.socket.destroy());
      // The rest is never answered.
    };
    await using one = await startServer(misbehave);
    await using two = await startServer(misbehave);
    await using three = await startServer(misbehave);
    await using balancer = startBalancer([one, two, three, await refusingAddress()], {
      policy: undefined,
      timeouts: { attemptMs: 120, totalMs: 400 },
      retry: { budget: false },
      health: { ejection: { baseMs: 50 } },
      connections: { perNode: 20 },
      random,
    });
    const handlers: { method: string; key: string; handler: RecordingHandler }[] = [];
    for (let index = 0; index < calls; index++) {
      const method = ["GET", "PUT", "POST"][Math.floor(random() * 3)] as "GET";
      const text = "x".repeat(1 + Math.floor(random() * (random() < 0.1 ? 200_000 : 2_000)));
      const kind = plainBodies[Math.floor(random() * plainBodies.length)];
      const handler = new RecordingHandler();
      const body = method === "GET" ? null : (kind?.make(text) as Dispatcher.DispatchOptions["body"]);
      const key = String(index);
      const headers = { "x-key": key, "x-length": method === "GET" ? "0" : String(text.length) };
      balancer.dispatch({ path: "/", method, headers, body }, handler);
      handlers.push({ method, key, handler });
      if (random() < 0.15) setTimeout(() => handler.controller?.abort(new Error("abort")), random() * 150);
      if (index % 10 === 0) await sleep(3);
    }
    await Promise.all(handlers.map(({ handler }) => handler.done));
    await expectIdle(balancer);
    await sleep(100);

    const runs = new Map<string, number>();
    for (const { key, whole } of taken) {
      expect(await whole, `the body of call ${key}`).toBe(true);
      runs.set(key, (runs.get(key) ?? 0) + 1);
    }
    let succeeded = 0;
    for (const { method, key, handler } of handlers) {
      expect(handler.ends, key).toBe(1);
      expect(
        handler.events.filter((event) => event === "start"),
        key,
      ).toHaveLength(1);
      if (method === "POST") expect(runs.get(key) ?? 0, `POST ${key}`).toBeLessThanOrEqual(1);
      if (handler.events.at(-1) === "end" && handler.statusCode === 200) {
        succeeded++;
        expect(handler.body).toBe("whole answer");
        expect(runs.get(key), key).toBeGreaterThan(0);
      }
    }
    // Most, on a machine that is not busy with other things.
    expect(succeeded).toBeGreaterThan(calls / 20);
    await balancer.close();
    await until(
      "all connections closed",
      () => [one, two, three].every(({ open }) => open.size === 0),
      2_000,
    );
  },
);
