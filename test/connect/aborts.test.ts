/** Calls and streams that are given up at any moment, while their nodes take leave of connections: nothing stays. */
import { expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { createSeededRandom } from "../../src/core/random.ts";
import { printFigure } from "../support/figure.ts";
import { until } from "../support/until.ts";
import { connectionsOf } from "./support/connections.ts";
import { startShop } from "./support/servers.ts";
import { ask } from "./support/shop.ts";
import { protocolNames, protocols } from "./support/transports.ts";

test.each(protocolNames)(
  "%s: 1,000 calls with random aborts leave no call, no stream and no place taken",
  async (name) => {
    await using first = await startShop({ maxConcurrentStreams: 20 });
    await using second = await startShop({ maxConcurrentStreams: 20 });
    const shop = connectBalancer({
      name: "shop",
      discovery: [first.address, second.address],
      connections: { perNode: 3, queueMs: 20 },
      hedge: { afterMs: 5 },
      health: { ejection: false },
    });
    const client = protocols[name](shop.transportOptions);
    const random = createSeededRandom(11);
    const ends = { well: 0, otherwise: 0 };
    const one = async (): Promise<void> => {
      const controller = new AbortController();
      // Each second one is let go on.
      const timer = random() < 0.5 ? undefined : setTimeout(() => controller.abort(), random() * 60);
      const options = { signal: controller.signal };
      const wish = ask({ afterMs: random() * 20, messages: 3 });
      try {
        if (random() < 0.5) await client.get(wish, options);
        else for await (const _message of client.list(wish, options));
        ends.well++;
      } catch {
        ends.otherwise++;
      } finally {
        clearTimeout(timer);
      }
    };
    for (let round = 0; round < 10; round++) {
      const calls = Array.from({ length: 100 }, one);
      // Streams under way finish, those above the last one are sent again, and new connections are made.
      for (const session of first.sessions) session.close();
      await Promise.all(calls);
    }
    printFigure(`Connect, ${name}: random aborts`, `${ends.well} ended well, ${ends.otherwise} did not`);
    expect(Math.min(ends.well, ends.otherwise)).toBeGreaterThan(100);
    await until("no call is in flight", () => shop.nodes.every(({ inflight }) => inflight === 0), 5_000);
    expect(shop.cluster.waitingForConnection).toBe(0);
    const atRest = [0, 1].map((index) => connectionsOf(shop, index));
    await until(
      "every connection rests",
      () => [0, 1].every((index) => connectionsOf(shop, index)?.idle === connectionsOf(shop, index)?.open),
      5_000,
    );
    for (const counts of atRest) expect(counts).toMatchObject({ connecting: 0, waiting: 0 });
    await until("the nodes know", () => first.counts.inflight + second.counts.inflight === 0, 5_000);
    await shop.close();
  },
);
