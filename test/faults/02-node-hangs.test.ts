/** Fault 2: a node hangs (SIGSTOP): its connections stay open, and nothing is answered. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { leastCost, roundRobin } from "../../src/index.ts";
import { drive } from "../support/drive.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { Journal } from "../support/journal.ts";
import { percentile } from "../support/percentile.ts";
import { findBusy, startService } from "../support/service.ts";

const rate = 1_000;
const attemptMs = 300;
const isPost = (index: number): boolean => index % 10 >= 8;

test.for([
  { policy: leastCost(), ejects: false },
  // Blind to load: here ejection is all that keeps calls away.
  { policy: roundRobin(), ejects: true },
])(
  "a frozen node under $policy.name fails no GET, is left alone and comes back",
  async ({ policy, ejects }) => {
    using journal = new Journal();
    await using service = await startService(
      `hangs-${policy.name.toLowerCase()}`,
      5,
      { workMs: 5, journal: journal.path },
      { policy, timeouts: { attemptMs }, health: { ejection: { baseMs: 1_000 } } },
    );
    const { recorder } = service;
    const call = (index: number): Promise<void> =>
      isPost(index) ? service.call("POST", { "x-test-key": String(index) }) : service.call();

    // Connections and compiler are cold at first; that belongs to neither of the two runs that are compared.
    await drive({ ratePerSecond: rate, seconds: 1 }, (index) => call(index + 10_000));
    const healthy = await drive({ ratePerSecond: rate, seconds: 2 }, (index) => call(index + 20_000));
    const driving = drive({ ratePerSecond: rate, seconds: 5 }, (index) => call(index + 30_000));
    await sleep(1_000);
    const victim = await findBusy(service);
    victim.freeze();
    const frozenAt = performance.now();
    await sleep(3_000);
    victim.thaw();
    const thawedAt = performance.now();
    const result = await driving;
    // Until its second penalty, of 2 s, is over and a trial call has brought it back.
    const back = (): boolean =>
      service.balancer.nodes.some(({ address, state }) => address === victim.address && state === "ready");
    for (let round = 0; round < 20 && !back(); round++) {
      await drive({ ratePerSecond: 100, seconds: 0.5 }, () => service.call());
    }

    const timesOfGets = result.calls.flatMap(({ index, tookMs }) => (isPost(index) ? [] : [tookMs]));
    const slowest = percentile(timesOfGets, 0.999);
    const healthySlowest = healthy.percentile(0.999);
    const failedGets = result.failed.filter(({ index }) => !isPost(index));
    const failedPosts = result.failed.filter(({ index }) => isPost(index));
    const timeouts = recorder.endsOn(victim.address).filter(({ reason }) => reason === "timeout");
    const retried = recorder.retries.filter(({ reason }) => reason === "timeout");
    const probing = recorder.changesTo(victim.address, "probing");
    const returned = recorder.changesTo(victim.address, "ready").at(-1);
    const [ejected] = recorder.changesTo(victim.address, "ejected");
    const toFrozen = recorder.startsOn(victim.address).filter(({ at }) => at > frozenAt && at < thawedAt);
    const whileFrozen = recorder.starts.filter(({ at }) => at > frozenAt && at < thawedAt);
    const whileOut = recorder
      .startsOn(victim.address)
      .filter(({ at }) => ejected !== undefined && at > ejected.at && at <= (returned?.at ?? 0));
    printFigure(
      `2 node hangs, ${policy.name}`,
      `${failedGets.length} of ${count(timesOfGets.length)} GETs failed (pass: 0)`,
      `p99.9 ${ms(slowest)} (pass: 400 ms), healthy ${ms(healthySlowest)}`,
      `${timeouts.length} attempts timed out and ${retried.length} were retried`,
      `POSTs failed: ${failedPosts.length}, ran twice: ${journal.doubles().length} of ${count(journal.arrivals().size)} (pass: 0)`,
      `calls sent to it while it was frozen: ${toFrozen.length} of ${count(whileFrozen.length)}`,
      `from its ejection to its return: ${whileOut.length} in ${probing.length} trials (pass: one each)`,
      `${count(result.achievedRate)} calls/s`,
    );

    expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(retried.length, "calls that the freeze caught").toBeGreaterThan(0);
    expect(failedGets, result.describeFailures()).toHaveLength(0);
    // The mark is 400 ms; what the machine adds to a healthy call it may add twice to one that is tried twice.
    expect(slowest).toBeLessThanOrEqual(400 + Math.max(200, 2 * healthySlowest));
    expect(failedPosts.length).toBeLessThanOrEqual(timeouts.filter(({ method }) => method === "POST").length);
    expect(journal.doubles()).toEqual([]);
    expect(back(), "it came back").toBe(true);
    // One trial while it is frozen, which hundreds of other calls must not join, and one that brings it back.
    if (ejects) expect(probing).toHaveLength(2);
    // Its cost keeps calls away before enough have failed.
    else expect(toFrozen.length).toBeLessThanOrEqual(0.02 * whileFrozen.length);
    expect(whileOut).toHaveLength(probing.length);
  },
);
