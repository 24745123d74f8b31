/** Fault 9 over gRPC: a peer refuses every stream, or demands calm. */
import { once } from "node:events";
import { constants, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { count, printFigure } from "../../support/figure.ts";
import { balance, inTurn, openRoundRobin } from "../support/clients.ts";
import { methods, startServer } from "../support/servers.ts";

const calls = 50;

test.for([
  { name: "REFUSED_STREAM", code: constants.NGHTTP2_REFUSED_STREAM },
  { name: "ENHANCE_YOUR_CALM", code: constants.NGHTTP2_ENHANCE_YOUR_CALM },
])("a peer that answers each stream with $name is not asked without end", async ({ name, code }) => {
  let streams = 0;
  const peer = createServer();
  peer.on("stream", (stream) => {
    streams++;
    stream.on("error", () => {});
    stream.close(code);
  });
  peer.listen(0, "127.0.0.1");
  await once(peer, "listening");
  const address = `127.0.0.1:${(peer.address() as AddressInfo).port}`;
  await using balanced = balance([address], {
    retry: { methods: [methods.get.path], attempts: 3, budget: false },
  });
  const results = await Promise.allSettled(Array.from({ length: calls }, () => balanced.client.get()));
  const attempts = streams / calls;
  streams = 0;
  using hardened = await openRoundRobin([address], { hardened: true });
  await Promise.allSettled(Array.from({ length: calls }, () => hardened.get()));
  const theirs = streams / calls;
  await using good = await startServer();
  await using beside = balance([address, good.address], { retry: { methods: [methods.get.path] } });
  const made = await Promise.allSettled(
    await inTurn(20, async () => beside.client.get().then(String, String)),
  );
  const failed = made.filter(
    (result) => result.status !== "fulfilled" || result.value !== String(good.port),
  ).length;
  printFigure(
    `9 ${name} over gRPC`,
    `${attempts.toFixed(2)} attempts for each of ${count(calls)} calls (pass: 3)`,
    `round_robin with retryPolicy ${theirs.toFixed(2)}`,
    `beside a good node ${failed} of 20 failed`,
  );
  peer.close();
  expect(results.every((result) => result.status === "rejected")).toBe(true);
  expect(attempts).toBeLessThanOrEqual(3);
  // What is refused was not processed, and may go elsewhere; a demand for calm says nothing of that.
  if (code === constants.NGHTTP2_REFUSED_STREAM) {
    expect(attempts).toBeGreaterThan(1);
    expect(failed).toBe(0);
  }
});
