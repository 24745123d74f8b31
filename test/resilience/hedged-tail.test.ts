/** Hedging over real connections: one request in a hundred takes a hundred times as long, and the callers do not notice. */
import { expect, test } from "vitest";
import { Balancer, type BalancerOptions } from "../../src/index.ts";
import { startServer } from "../http/support/server.ts";
import { drive } from "../support/drive.ts";
import { count, ms, percent, printFigure } from "../support/figure.ts";
import { untilQuiet } from "../support/quiet.ts";

const quickMs = 10;
const slowEach = 100;
const slowFactor = 100;
const load = { ratePerSecond: 300, seconds: 8 };
/** As many as a percentile of 98 is learned from, and some more. */
const warmUp = { ratePerSecond: 250, seconds: 2 };

interface Tail {
  readonly failed: number;
  readonly p999Ms: number;
  readonly calls: number;
  readonly requests: number;
  readonly slow: number;
}

async function measure(options: Partial<BalancerOptions>): Promise<Tail> {
  let requests = 0;
  let slow = 0;
  const answer = (_: unknown, response: { end(text: string): unknown }): void => {
    const isSlow = ++requests % slowEach === 0;
    if (isSlow) slow++;
    setTimeout(() => response.end("ok"), isSlow ? slowFactor * quickMs : quickMs);
  };
  await using first = await startServer(answer);
  await using second = await startServer(answer);
  await using third = await startServer(answer);
  await using balancer = new Balancer({
    name: "orders",
    discovery: [first, second, third].map(({ address }) => address),
    ...options,
  });
  const call = async (): Promise<void> => {
    const { body } = await balancer.request({ path: "/", method: "GET" });
    await body.dump();
  };
  await drive(warmUp, call);
  await untilQuiet(20_000);
  requests = 0;
  slow = 0;
  const result = await drive(load, call);
  return {
    failed: result.failed.length,
    p999Ms: result.percentile(0.999),
    calls: result.calls.length,
    requests,
    slow,
  };
}

test("p99.9 is at least 5x lower, for at most 3% extra calls", async () => {
  const plain = await measure({});
  const hedged = await measure({ hedge: { percentile: 98 } });
  const extra = hedged.requests - hedged.calls;
  printFigure(
    "1% of calls 100x slower",
    `p99.9 ${ms(plain.p999Ms)} without and ${ms(hedged.p999Ms)} with hedging (pass: a fifth)`,
    `${count(extra)} extra calls, ${percent(extra, hedged.calls)} (pass: 3%)`,
    `${count(hedged.slow)} requests were slow`,
  );
  expect([plain.failed, hedged.failed]).toEqual([0, 0]);
  expect([plain.requests, plain.slow]).toEqual([plain.calls, plain.calls / slowEach]);
  // Each slow request is one that hedging has to make good.
  expect(hedged.slow).toBeGreaterThanOrEqual(hedged.calls / slowEach);
  expect(plain.p999Ms).toBeGreaterThanOrEqual(slowFactor * quickMs);
  expect(hedged.p999Ms).toBeLessThanOrEqual(plain.p999Ms / 5);
  expect(extra).toBeGreaterThan(0);
  expect(extra / hedged.calls).toBeLessThanOrEqual(0.03);
});
