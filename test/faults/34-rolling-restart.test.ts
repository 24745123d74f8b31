/** Fault 34, as far as the caller goes: a rolling restart under load, each node taken out of discovery before it stops. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { list } from "../../src/index.ts";
import { drive } from "../support/drive.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { Journal } from "../support/journal.ts";
import { h2c, http1 } from "../support/protocols.ts";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const isPost = (index: number): boolean => index % 10 >= 8;

const cases = [
  { protocol: http1, rate: 1_000, seconds: 60 },
  { protocol: h2c, rate: 500, seconds: 20 },
];

test.for(cases)(
  "a rolling restart of five nodes loses none of the calls over $protocol.name",
  { timeout: 150_000 },
  async ({ protocol, rate, seconds }) => {
    using journal = new Journal();
    const nodes = list([]);
    await using service = await startService(
      "rolling-restart",
      5,
      { workMs: 5, workers: 50, journal: journal.path },
      {},
      {
        protocol,
        discover: (addresses) => {
          nodes.set(addresses);
          return nodes;
        },
      },
    );
    const { backends, recorder } = service;
    await using replacements = new AsyncDisposableStack();
    const driving = drive({ ratePerSecond: rate, seconds }, (index) =>
      service.call(isPost(index) ? "POST" : "GET", { "x-test-key": String(index) }),
    );
    const everyMs = (seconds * 1_000) / (backends.length + 1);
    let servedBefore = 0;
    let inflightAtRemoval = 0;
    let longestMs = 0;
    for (const backend of backends) {
      await sleep(everyMs / 2);
      const view = () => service.balancer.nodes.find(({ address }) => address === backend.address);
      await until("a call that it leaves in the middle of", () => (view()?.inflight ?? 0) > 0, 5_000);
      servedBefore += view()?.calls ?? 0;
      inflightAtRemoval += view()?.inflight ?? 0;
      nodes.remove(backend.address);
      const stopAt = performance.now();
      await backend.terminate();
      longestMs = Math.max(longestMs, performance.now() - stopAt);
      replacements.use(await backend.restart());
      nodes.add(backend.address);
      await sleep(everyMs / 2);
    }
    const result = await driving;
    const servedAfter = service.balancer.nodes.map(({ calls }) => calls);
    printFigure(
      `34 rolling restart, ${protocol.name}`,
      `${result.failed.length} of ${count(result.calls.length)} lost (pass: 0)`,
      `calls that ran twice: ${journal.doubles().length} (pass: 0)`,
      `${inflightAtRemoval} calls were in flight at nodes as they left`,
      `the slowest of them was gone ${ms(longestMs)} after SIGTERM`,
      `calls of the new ones: ${servedAfter.map((calls) => count(calls)).join(" ")}`,
      `${recorder.retries.length} retries`,
      `${count(result.achievedRate)} calls/s`,
    );
    expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(servedBefore).toBeGreaterThan(rate);
    expect(inflightAtRemoval).toBeGreaterThanOrEqual(backends.length);
    for (const calls of servedAfter) expect(calls).toBeGreaterThan(0);
    expect(result.failed, result.describeFailures()).toHaveLength(0);
    expect(journal.doubles()).toEqual([]);
    expect(journal.arrivals().size).toBe(result.calls.length);
  },
);
