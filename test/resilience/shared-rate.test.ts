/** Tests the rate limit that processes share over a real Redis: what it grants in all, and what Redis' death does to calls. */
import { createClient } from "@redis/client";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SharedRate } from "../../src/resilience/shared-rate.ts";
import type { ServerProcess } from "../registries/support/server-process.ts";
import { runChild } from "../support/child.ts";
import { startRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

let redis: ServerProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

interface Report {
  readonly granted: number;
  readonly limited: number;
}

describe("a rate shared over Redis", () => {
  it("is one for two processes: 200 of their 300 calls are granted", async () => {
    const run = () =>
      runChild<Report>("shared-rate-program.ts", {
        arguments: [`redis://${redis.address}`, "150"],
        limitMs: 30_000,
      });
    const [first, second] = (await Promise.all([run(), run()])).map(({ report }) => report);
    expect((first?.granted ?? 0) + (second?.granted ?? 0)).toBe(200);
    expect((first?.limited ?? 0) + (second?.limited ?? 0)).toBe(100);
    // Neither had all of it.
    expect(first?.granted).toBeGreaterThanOrEqual(50);
    expect(second?.granted).toBeGreaterThanOrEqual(50);
  });

  it("lets calls go on when Redis is killed, tells of it, and limits again when it is back", async () => {
    const client = createClient({ url: `redis://${redis.address}`, socket: { reconnectStrategy: 50 } });
    const connectionErrors: unknown[] = [];
    client.on("error", (error) => connectionErrors.push(error));
    await client.connect();
    const limiter = new RateLimiterRedis({
      storeClient: client,
      useRedisPackage: true,
      points: 3,
      duration: 3_600,
    });
    const rate = new SharedRate(limiter, "carts", { pauseMs: 200 });
    const take = async (calls: number) => {
      const answers: (string | Error)[] = [];
      for (let call = 0; call < calls; call++) answers.push(await rate.take());
      return answers;
    };
    expect(await take(5)).toEqual(["granted", "granted", "granted", "limited", "limited"]);

    await redis.kill();
    const during = await take(100);
    const told = during.filter((answer) => answer instanceof Error);
    expect(during.filter((answer) => answer === "granted").length + told.length).toBe(100);
    // The first of them found out. Each later one would be a pause of 200 ms later, on a machine that slow.
    expect(during[0]).toBeInstanceOf(Error);
    expect(told.length).toBeLessThan(10);
    expect(connectionErrors).not.toEqual([]);

    await redis.restart();
    // It lost its data: three calls are granted by Redis itself, and from then on none.
    let lastAnswer: unknown;
    let asking = false;
    const ask = () => {
      if (!asking) {
        asking = true;
        void rate.take().then((answer) => {
          lastAnswer = answer;
          asking = false;
        });
      }
      return lastAnswer === "limited";
    };
    await until("Redis limits again", ask, 20_000);
    client.destroy();
  });
});
