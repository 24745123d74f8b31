/** Everything that is sent once more is paid from the budget of retries: when that is used up, it is not sent. */
import { once } from "node:events";
import { constants, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { rejection, startBalancer } from "./support/balancers.ts";
import { refusingAddress, startServer } from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;
const none = { budget: { ratio: 0, minPerSecond: 0 } };

/** Closes each connection at its second request, as a server does whose keep-alive time is over just then. */
async function startStaleServer() {
  const seen = new WeakSet<object>();
  return await startServer((request, response) => {
    if (seen.has(request.socket)) {
      request.socket.destroy();
      return;
    }
    seen.add(request.socket);
    response.end("ok");
  });
}

async function useStale(retry: object): Promise<string> {
  await using server = await startStaleServer();
  await using balancer = startBalancer([server], { retry, connections: { perNode: 1 } });
  await (await balancer.request(get)).body.dump();
  await sleep(100);
  return await balancer.request(get).then(
    ({ body }) => body.text(),
    (error: { code: string }) => error.code,
  );
}

test("a request that met a connection which was just being closed", async () => {
  expect(await useStale({})).toBe("ok");
  expect(await useStale(none)).toBe("ERR_NO_NODE");
});

test("a call whose node refused the connection", async () => {
  await using server = await startServer();
  await using paying = startBalancer([await refusingAddress(), server]);
  expect((await paying.request(get)).statusCode).toBe(200);
  await using broke = startBalancer([await refusingAddress(), server], { retry: none });
  expect(await rejection(broke.request(get))).toMatchObject({ code: "ERR_NO_NODE" });
});

test("a stream that the node refused", async () => {
  const refusing = createHttp2Server();
  let refused = 0;
  refusing.on("stream", (stream) => {
    refused++;
    // Node.js makes an error of it on the side that said it.
    stream.once("error", () => {});
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
  });
  await once(refusing.listen(0, "127.0.0.1"), "listening");
  const serving = createHttp2Server((_, response) => response.end("ok"));
  await once(serving.listen(0, "127.0.0.1"), "listening");
  const addresses = [refusing, serving].map(
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  );
  try {
    const connections = { http2: "prior-knowledge" } as const;
    await using paying = startBalancer(addresses, { connections });
    expect((await paying.request(get)).statusCode).toBe(200);
    await using broke = startBalancer(addresses, { connections, retry: none });
    expect(await rejection(broke.request(get))).toMatchObject({ code: "ERR_NO_NODE" });
    // Neither the call nor undici sent it again.
    expect(refused).toBe(2);
  } finally {
    refusing.close();
    serving.close();
  }
});

test("a hedge", async () => {
  await using hanging = await startServer(() => {});
  await using quick = await startServer();
  await using balancer = startBalancer([hanging, quick], {
    hedge: { afterMs: 20 },
    retry: none,
    timeouts: { attemptMs: 200 },
  });
  expect(await rejection(balancer.request(get))).toMatchObject({ code: "ERR_DEADLINE" });
  expect(quick.arrivals).toHaveLength(0);
});
