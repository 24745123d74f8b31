/** Fault 28: the name server says that the name does not exist, and then answers nothing at all, for 5 s a question. */
import { expect, test } from "vitest";
import { dns } from "../../src/discovery/dns.ts";
import { Balancer } from "../../src/index.ts";
import { startBackends } from "../../src/testing/backend.ts";
import { startDnsmasq } from "../registries/support/servers.ts";
import { drive } from "../support/drive.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";

const rate = 500;
const name = "faulty-dns";
test("NXDOMAIN and questions that time out keep the set, and no pick waits for them", async () => {
  await using server = await startDnsmasq({ ttlSeconds: 1 });
  const backends = await startBackends(3, { workMs: 1 });
  const publish = (ports: readonly number[]): Promise<void> =>
    server.publish({
      hosts: { "host.test": ["127.0.0.1"] },
      services: { "orders.test": ports.map((port) => ({ target: "host.test", port })) },
    });
  const ports = backends.map(({ port }) => port);
  try {
    await publish(ports);
    using recorder = new Recorder(name);
    await using balancer = new Balancer({
      name,
      discovery: dns({
        name: "orders.test",
        type: "SRV",
        minRefreshMs: 500,
        servers: [server.address],
        timeoutMs: 5_000,
        tries: 1,
      }),
    });
    await balancer.ready();
    const before = balancer.nodes.map(({ address }) => address);
    const errorsOf = (text: string) =>
      recorder.discoveryErrors.filter(({ error }) => String(error).includes(text)).length;

    const calls = drive({ ratePerSecond: rate, seconds: 12 }, async () => {
      const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
      await body.text();
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    });
    await server.publish({});
    await until("the name is said not to exist", () => errorsOf("no such name") >= 2, 10_000);
    server.freeze();
    await until("a question has timed out", () => errorsOf("ETIMEOUT") >= 1, 30_000);
    const held = balancer.nodes.map(({ address, state }) => `${address} ${state}`);
    const state = balancer.cluster.discoveryState.state;
    const result = await calls;
    server.thaw();

    printFigure(
      "28 DNS",
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
      `nodes held: ${held.length} (pass: ${before.length})`,
      `NXDOMAIN: ${errorsOf("no such name")}, timed out: ${errorsOf("ETIMEOUT")}`,
      `slowest call: ${ms(result.percentile(1))}`,
    );
    expect(result.failed, result.describeFailures()).toHaveLength(0);
    expect(before).toHaveLength(backends.length);
    expect(held).toEqual(before.map((address) => `${address} ready`));
    expect(state).toBe("stale");
    // A pick that waited for a question would have taken its 5 s; a busy machine takes a fraction of that.
    expect(result.percentile(1)).toBeLessThan(2_500);

    // And when it answers again, the set follows.
    await publish(ports.slice(0, 2));
    await until("the set is fresh", () => balancer.cluster.discoveryState.state === "fresh", 30_000);
    await until("the third node leaves", () => balancer.nodes.length === 2, 10_000);
  } finally {
    await Promise.all(backends.map((backend) => backend.kill()));
  }
});
