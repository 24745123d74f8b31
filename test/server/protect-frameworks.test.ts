/** What is particular to how a protected server is made: the middleware, hooks and errors of each. */
import { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import express, { type NextFunction, type Request, type Response } from "express";
import fastify from "fastify";
import { Agent, request } from "undici";
import { expect, test } from "vitest";
import { remainingMs } from "../../src/resilience/call-context.ts";
import { callSignal, protect } from "../../src/server/index.ts";

async function listening(server: Server) {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    base,
    post: async (path: string, body: unknown, timeoutMs: number) => {
      const headers = { "content-type": "application/json", "x-timeout-ms": String(timeoutMs) };
      const answer = await fetch(base + path, { method: "POST", headers, body: JSON.stringify(body) });
      return { status: answer.status, text: await answer.text() };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("Express: bodies, asynchronous handlers and their errors go as ever, in the context of the call", async () => {
  const protection = protect({ deadlineHeader: "x-timeout-ms" });
  const app = express();
  app.use(protection.middleware());
  app.use(express.json());
  app.post("/echo", async (request, response) => {
    await sleep(1);
    response.json({ got: request.body, hasTime: remainingMs() < 5_000 });
  });
  app.post("/broken", async () => {
    throw new Error("broken");
  });
  app.post("/slow", async (_, response) => {
    await new Promise((resolve) => callSignal()?.addEventListener("abort", resolve));
    // Express sets headers here, long after ours have gone out.
    response.status(200).json({ late: true });
  });
  const errors: string[] = [];
  app.use((error: Error, _request: Request, response: Response, _next: NextFunction) => {
    errors.push(error.message);
    response.status(500).send(error.message);
  });
  await using server = await listening(createServer(app));

  expect(await server.post("/echo", { a: 1 }, 5_000)).toEqual({
    status: 200,
    text: '{"got":{"a":1},"hasTime":true}',
  });
  expect(await server.post("/broken", {}, 5_000)).toEqual({ status: 500, text: "broken" });
  expect((await server.post("/slow", {}, 50)).status).toBe(504);
  await sleep(20);
  expect(errors).toEqual(["broken"]);
  expect(protection.status.inflight).toBe(0);
});

test("Fastify: bodies, hooks, errors and plugins go as ever, in the context of the call", async () => {
  const protection = protect({ deadlineHeader: "x-timeout-ms" });
  const logged: string[] = [];
  const app = fastify({
    logger: { level: "warn", stream: { write: (line: string) => void logged.push(line) } },
  });
  await app.register(protection.fastify());
  app.addHook("preHandler", async () => {
    expect(remainingMs()).toBeLessThan(5_000);
  });
  await app.register((part, _options, done) => {
    part.post("/echo", async (request) => {
      await sleep(1);
      return { got: request.body, hasTime: remainingMs() < 5_000 };
    });
    part.post("/broken", async () => {
      throw new Error("broken");
    });
    done();
  });
  app.post("/slow", async () => {
    await new Promise((resolve) => callSignal()?.addEventListener("abort", resolve));
    return { late: true };
  });
  await app.ready();
  await using server = await listening(app.server);

  expect(await server.post("/echo", { a: 1 }, 5_000)).toEqual({
    status: 200,
    text: '{"got":{"a":1},"hasTime":true}',
  });
  expect(await server.post("/broken", {}, 5_000)).toMatchObject({ status: 500 });
  expect((await server.post("/slow", {}, 50)).status).toBe(504);
  // Without a socket, as Fastify's users test.
  expect((await app.inject({ method: "GET", url: "/readyz" })).statusCode).toBe(200);
  const injected = await app.inject({
    method: "POST",
    url: "/echo",
    payload: { a: 2 },
    headers: { "x-timeout-ms": "900" },
  });
  expect(injected.json()).toEqual({ got: { a: 2 }, hasTime: true });
  protection.drain();
  expect((await app.inject({ method: "GET", url: "/readyz" })).statusCode).toBe(503);
  await sleep(20);
  expect(protection.status.inflight).toBe(0);
  // Fastify itself notes an answer that comes late.
  expect(logged.filter((line) => !line.includes("broken") && !line.includes("already sent"))).toEqual([]);
});

test("node:http: what a handler throws is left to Node.js, as is what its promise is rejected with", async () => {
  const protection = protect();
  EventEmitter.captureRejections = true;
  const server = createServer(
    protection.listener(async () => {
      throw new Error("rejected");
    }),
  );
  EventEmitter.captureRejections = false;
  await using served = await listening(server);
  // Node.js answers for a listener whose promise is rejected, if it is told to look.
  expect((await served.post("/", {}, 1_000)).status).toBe(500);
  expect(protection.status.inflight).toBe(0);

  const thrown = protection.listener(() => {
    throw new TypeError("thrown");
  });
  const request = { method: "GET", url: "/", headers: {}, emit: () => true };
  const response = { once: () => {}, writeHead: () => {}, headersSent: false, writableEnded: false };
  expect(() => thrown(request, response as never)).toThrow("thrown");
});

test("node:http: the answer at the deadline has words of its own, and still tells its client to go", async () => {
  const protection = protect({ deadlineHeader: "x-timeout-ms" });
  const server = createServer(
    protection.listener((_, response: ServerResponse) => {
      response.statusMessage = "Prepared";
      // As a registration does that is being closed.
      response.setHeader("connection", "close");
      response.setHeader("transfer-encoding", "chunked");
    }),
  );
  await using served = await listening(server);
  const answer = await fetch(served.base, { headers: { "x-timeout-ms": "20" } });
  expect({ status: answer.status, words: answer.statusText }).toEqual({
    status: 504,
    words: "Gateway Timeout",
  });
  expect(answer.headers.get("connection")).toBe("close");
  expect(await answer.text()).toMatch(/deadline/);
});

/** A handler whose own call is ended by the deadline that it inherited, and which lets that fail. */
const cutShort = async (): Promise<never> => {
  const signal = callSignal() as AbortSignal;
  await sleep(5_000, undefined, { signal });
  throw new Error("it was not aborted");
};

/** The same where its answer is a stream: it breaks before its first piece. */
async function* brokenSource(): AsyncGenerator<string> {
  yield await cutShort();
}

/** An Express app, and what its errors and its access log come to. */
function expressWith(addErrorHandler: (app: express.Express, log: string[]) => void) {
  const log: string[] = [];
  const app = express();
  // As access logs do, which tell no status of an answer without headers.
  app.use((_, response, next) => {
    response.on("finish", () => log.push(response.headersSent ? String(response.statusCode) : "no status"));
    next();
  });
  app.use(protect({ deadlineHeader: "x-timeout-ms" }).middleware());
  app.post("/file", (_, response, next) => {
    callSignal()?.addEventListener("abort", () => response.sendFile(fileURLToPath(import.meta.url), next));
  });
  app.use(cutShort);
  addErrorHandler(app, log);
  return { log, server: createServer(app) };
}

const lateServers: Readonly<Record<string, () => Promise<{ server: Server; log: readonly string[] }>>> = {
  "Express' own error handler": async () =>
    expressWith((app) => {
      // It writes errors to the console, but for tests.
      app.set("env", "test");
    }),
  "an error handler of Express as its documentation has it": async () =>
    expressWith((app) => {
      app.set("env", "test");
      app.use((error: Error, _request: Request, response: Response, next: NextFunction) => {
        if (response.headersSent) return next(error);
        response.status(500).render("error", { error }, () => response.json({ error: error.message }));
      });
    }),
  Fastify: async () => {
    const app = fastify();
    const log: string[] = [];
    app.addHook("onResponse", async (_, reply) => void log.push(String(reply.raw.statusCode)));
    await app.register(protect({ deadlineHeader: "x-timeout-ms" }).fastify());
    app.post("/file", async (_, reply) => {
      return reply.header("content-length", "1000").send(Readable.from(brokenSource()));
    });
    app.post("/*", cutShort);
    await app.ready();
    return { server: app.server, log };
  },
  "node:http with captureRejections": async () => {
    EventEmitter.captureRejections = true;
    const server = createServer(protect({ deadlineHeader: "x-timeout-ms" }).listener(cutShort));
    EventEmitter.captureRejections = false;
    return { server, log: ["504", "504", "504"] };
  },
  "node:http with a pipeline": async () => {
    const listener = protect({ deadlineHeader: "x-timeout-ms" }).listener(
      (_: IncomingMessage, response: ServerResponse) => {
        pipeline(brokenSource, response).catch(() => {});
      },
    );
    return { server: createServer(listener), log: ["504", "504", "504"] };
  },
};

test.each(Object.keys(lateServers))(
  "%s: a handler that fails at the deadline costs no connection",
  async (name) => {
    const { server, log } = await (lateServers[name] as (typeof lateServers)[string])();
    let connections = 0;
    server.on("connection", () => connections++);
    await using served = await listening(server);
    const agent = new Agent({ connections: 1 });
    for (const path of ["/", "/file", "/"]) {
      const answer = await request(`${served.base}${path}`, {
        method: "POST",
        headers: { "x-timeout-ms": "20" },
        dispatcher: agent,
      });
      expect({ status: answer.statusCode, text: await answer.body.text() }).toEqual({
        status: 504,
        text: "The deadline of the call has passed.\n",
      });
      // What the handler still does.
      await sleep(20);
    }
    expect(connections).toBe(1);
    expect(log).toEqual(["504", "504", "504"]);
    await agent.destroy();
  },
);
