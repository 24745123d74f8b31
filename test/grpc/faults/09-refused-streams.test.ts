/** Fault 9 over gRPC: a peer refuses every stream, or demands calm. */
import { constants } from "node:http2";
import { expect, test } from "vitest";
import { count, printFigure } from "../../support/figure.ts";
import { balance, inTurn, type OrdersClient } from "../support/clients.ts";
import { startRawPeer } from "../support/raw-peer.ts";
import { openRoundRobin } from "../support/round-robin.ts";
import { methods, startServer } from "../support/servers.ts";
import { describePeers, type System, systems } from "../support/shop.ts";

const calls = 200;

test.for([
  { name: "REFUSED_STREAM", code: constants.NGHTTP2_REFUSED_STREAM },
  { name: "ENHANCE_YOUR_CALM", code: constants.NGHTTP2_ENHANCE_YOUR_CALM },
])("a peer that answers each stream with $name is not asked without end", async ({ name, code }) => {
  let streams = 0;
  await using peer = await startRawPeer((stream) => {
    streams++;
    stream.close(code);
  });
  const { address } = peer;
  await using good = await startServer();
  const options = { retry: { methods: [methods.get.path], attempts: 3, budget: false } } as const;
  const open = async (addresses: readonly string[], system: System): Promise<Opened> => {
    if (system === "ours") return balance(addresses, options);
    const client = await openRoundRobin(addresses, { hardened: system === "hardened" });
    return { client, [Symbol.asyncDispose]: async () => client.close() };
  };
  const attempts = { ours: 0, plain: 0, hardened: 0 };
  const answered = { ours: 0, plain: 0, hardened: 0 };
  const failed = { ours: 0, plain: 0, hardened: 0 };
  for (const system of systems) {
    {
      await using alone = await open([address], system);
      streams = 0;
      const ends = await Promise.allSettled(Array.from({ length: calls }, () => alone.client.get()));
      attempts[system] = streams / calls;
      answered[system] = ends.filter(({ status }) => status === "fulfilled").length;
    }
    await using beside = await open([address, good.address], system);
    await inTurn(20, () => beside.client.get().catch(() => failed[system]++));
  }
  const describe = (system: System): string =>
    `${attempts[system].toFixed(2)} attempts for each, beside a good node ${failed[system]} of 20 failed`;
  printFigure(
    `9 ${name} over gRPC`,
    `${attempts.ours.toFixed(2)} attempts for each of ${count(calls)} calls (pass: 3)`,
    `beside a good node ${failed.ours} of 20 failed`,
    describePeers({ plain: describe("plain"), hardened: describe("hardened") }),
  );
  expect(answered).toEqual({ ours: 0, plain: 0, hardened: 0 });
  expect(attempts.plain, "attempts that the peer refused").toBeGreaterThan(0);
  expect(attempts.ours).toBeLessThanOrEqual(3);
  // What is refused was not processed, and may go elsewhere; a demand for calm says nothing of that.
  if (code === constants.NGHTTP2_REFUSED_STREAM) {
    expect(attempts.ours).toBeGreaterThan(1);
    expect(failed.ours).toBe(0);
  }
});

interface Opened extends AsyncDisposable {
  readonly client: OrdersClient;
}
