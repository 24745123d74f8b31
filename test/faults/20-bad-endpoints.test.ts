/** Fault 20: a registry hands over endpoints that no call may go to, among good ones. */
import { expect, test } from "vitest";
import { Balancer, type Endpoint } from "../../src/index.ts";
import { startBackends } from "../../src/testing/backend.ts";
import { count, printFigure } from "../support/figure.ts";
import { PushedDiscovery } from "../support/pushed-discovery.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";

const calls = 2_000;

test("bad endpoints are refused one by one, weight 0 gets nothing, and the watcher lives on", async () => {
  const backends = await startBackends(9, { workMs: 0 });
  const addresses = backends.map(({ address }) => address);
  const [good = "", alsoGood = "", drained = "", ...others] = addresses;
  const [notANumber = "", negative = "", huge = "", infinite = "", text = "", proto = ""] = others;
  using recorder = new Recorder("bad-data");
  const discovery = new PushedDiscovery([
    { address: drained, weight: 0 },
    { address: notANumber, weight: Number.NaN },
    { address: good },
    { address: negative, weight: -1 },
    { address: huge, weight: 1e308 },
    { address: infinite, weight: Number.POSITIVE_INFINITY },
    { address: text, weight: "5" as unknown as number },
    { address: "http://127.0.0.1:0" },
    { address: `http://${"n".repeat(2 ** 20)}:80` },
    { address: proto, metadata: JSON.parse('{"__proto__":{"weight":100}}') },
    { address: alsoGood, weight: 2 },
    null as unknown as Endpoint,
  ]);
  const refused = 9;

  try {
    await using balancer = new Balancer({ name: "bad-data", discovery });
    await balancer.ready();
    for (let call = 0; call < calls; call++) {
      const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
      await body.dump();
      expect(statusCode).toBe(200);
    }
    const arrived = async (): Promise<readonly number[]> =>
      Promise.all(backends.map(async (backend) => (await backend.stats()).requests));
    const [toGood = 0, toAlsoGood = 0, ...toBad] = await arrived();
    const picksOfBad = toBad.reduce((sum, part) => sum + part, 0);
    const drainedState = balancer.nodes.find(({ address }) => address === drained)?.state;

    // The watcher is alive: what was bad is mended, and used.
    discovery.push([{ address: good }, { address: drained, weight: 1 }, { address: huge, weight: 1 }]);
    await until(
      "the mended set is used",
      () => balancer.nodes.some(({ address }) => address === huge),
      5_000,
    );
    for (let call = 0; call < 200; call++) {
      const { body } = await balancer.request({ path: "/", method: "GET" });
      await body.dump();
    }
    const later = await arrived();
    printFigure(
      "20 bad endpoints",
      `${picksOfBad} of ${count(calls)} picks of weight 0 or refused ones (pass: 0)`,
      `${recorder.discoveryErrors.length} refused with an event each (pass: ${refused})`,
      `the good ones got ${toGood} and ${toAlsoGood}`,
      `watches begun: ${discovery.watches} (pass: 1)`,
      `calls to mended ones: ${later[2]} and ${later[5]}`,
    );
    expect(picksOfBad).toBe(0);
    expect(toGood + toAlsoGood).toBe(calls);
    expect(Math.min(toGood, toAlsoGood)).toBeGreaterThan(0);
    expect(drainedState).toBe("draining");
    expect(balancer.nodes).toHaveLength(3);
    expect(recorder.discoveryErrors).toHaveLength(refused);
    for (const { error } of recorder.discoveryErrors) {
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message.length).toBeLessThan(500);
    }
    expect(discovery.watches).toBe(1);
    expect(later[2]).toBeGreaterThan(0);
    expect(later[5]).toBeGreaterThan(0);
  } finally {
    await Promise.all(backends.map((backend) => backend.kill()));
  }
  expect(discovery.isWatched).toBe(false);
});
