/** Fault 14: gray failure: a node passes every health check and answers all other calls with 500. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Balancer, httpCheck, roundRobin } from "../../src/index.ts";
import { startBackends } from "../../src/testing/backend.ts";
import { startServer } from "../http/support/server.ts";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";

const rate = 200;
const seconds = 12;

test("passing checks do not bring back a node whose calls fail", async () => {
  let isGray = false;
  await using victim = await startServer((request, response) => {
    response.statusCode = isGray && request.url !== "/health" ? 500 : 200;
    response.end();
  });
  const backends = await startBackends(4, { workMs: 5 });
  await using _ = {
    [Symbol.asyncDispose]: async () => void (await Promise.all(backends.map((backend) => backend.kill()))),
  };
  using recorder = new Recorder("gray");
  // Short penalties, so that a run of seconds has several; the node is checked ten times and more within each.
  await using balancer = new Balancer({
    name: "gray",
    discovery: [victim, ...backends].map(({ address }) => address),
    // Blind to failures, so that nothing but the ejection keeps calls away; leastCost would avoid the node by itself.
    policy: roundRobin(),
    health: {
      check: httpCheck({ path: "/health", intervalMs: 30, rise: 1, fall: 1 }),
      ejection: { baseMs: 500, maxMs: 2_000 },
    },
  });

  const driving = drive({ ratePerSecond: rate, seconds }, async () => {
    const { statusCode, body } = await balancer.request({ path: "/v1/orders", method: "GET" });
    await body.text();
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  });
  await sleep(1_000);
  const servedBefore = recorder.endsOn(victim.address).filter(({ outcome }) => outcome === "success").length;
  isGray = true;
  await sleep(7_000);
  isGray = false;
  const result = await driving;

  const ejections = recorder.changesTo(victim.address, "ejected");
  const penalties = ejections.map(({ at }, index) => {
    const end = ejections[index + 1]?.at ?? Number.POSITIVE_INFINITY;
    const last = index === ejections.length - 1;
    const starts = recorder.startsOn(victim.address).filter((event) => event.at > at && event.at <= end);
    // After the last penalty the node is well again, and the call that finds out is its trial.
    const back = recorder.changesTo(victim.address, "ready").find((event) => event.at > at);
    const trials = last && back !== undefined ? starts.filter((event) => event.at <= back.at) : starts;
    return trials.length;
  });
  const answered500 = recorder.endsOn(victim.address).filter(({ detail }) => detail === "500").length;
  const checks = victim.arrivals.filter(({ url }) => url === "/health").length;
  printFigure(
    "14 gray failure",
    `at most ${Math.max(...penalties)} trial calls for each of ${penalties.length} penalties (pass: 1)`,
    `${result.failed.length} of ${count(result.calls.length)} failed, each answered 500`,
    `${checks} checks of the node passed`,
    `${servedBefore} calls were served by it before`,
    `${count(result.achievedRate)} calls/s`,
  );
  expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(servedBefore).toBeGreaterThan(0);
  // The fault bit: calls failed on it, again and again, while nothing but its calls said so.
  expect(answered500).toBeGreaterThan(5);
  expect(result.failed.length, result.describeFailures()).toBe(answered500);
  expect(penalties.length).toBeGreaterThanOrEqual(3);
  expect(checks).toBeGreaterThan(10 * penalties.length);
  expect(recorder.changesTo(victim.address, "down")).toEqual([]);
  for (const trials of penalties) expect(trials).toBeLessThanOrEqual(1);
  // Five to be ejected, and one for each further penalty.
  expect(answered500).toBeLessThanOrEqual(5 + penalties.length);
  await until("it serves again", () => balancer.nodes[0]?.state === "ready", 5_000);
});
