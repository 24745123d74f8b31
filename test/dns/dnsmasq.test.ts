/** `dns()` against a real name server: what it reports as records come, change and go, and as the server dies. */
import { afterEach, describe, expect, it } from "vitest";
import { type DnsOptions, dns } from "../../src/discovery/dns.ts";
import type { Endpoint } from "../../src/index.ts";
import { type DnsServer, startDnsmasq } from "../registries/support/servers.ts";
import { until } from "../support/until.ts";

const stack: (() => PromiseLike<void> | void)[] = [];
afterEach(async () => {
  for (const release of stack.splice(0).reverse()) await release();
});

async function serve(options: Parameters<typeof startDnsmasq>[0] = {}): Promise<DnsServer> {
  const server = await startDnsmasq(options);
  stack.push(() => server[Symbol.asyncDispose]());
  return server;
}

/** Quick to give up, so that a dead server costs these tests no seconds. */
const impatient: DnsOptions = { timeoutMs: 200, tries: 1, minRefreshMs: 100, maxRefreshMs: 2_000 };

function watch(server: DnsServer, options: DnsOptions) {
  const controller = new AbortController();
  stack.push(() => controller.abort());
  const sets: (readonly Endpoint[])[] = [];
  const errors: string[] = [];
  const { signal } = controller;
  const report = (error: unknown): void => void errors.push((error as Error).message);
  const source = dns({ ...impatient, servers: [server.address], ...options });
  const ended = (async () => {
    for await (const set of source.watch({ service: "orders.test", signal, report })) sets.push(set);
  })();
  return {
    sets,
    errors,
    controller,
    ended,
    /** Resolves when the last set has these addresses. */
    shows: (...addresses: readonly string[]) =>
      until(
        `the set is ${addresses.join(", ")}; it is ${JSON.stringify(sets.at(-1))}, after ${errors.at(-1)}`,
        () =>
          sets
            .at(-1)
            ?.map(({ address }) => address)
            .join() === addresses.join(),
        10_000,
      ),
  };
}

describe("A records", () => {
  it("are shown as they are added, changed and removed", async () => {
    const server = await serve();
    await server.publish({ hosts: { "orders.test": ["127.0.0.1"] } });
    const { shows } = watch(server, { port: 8080 });
    await shows("127.0.0.1:8080");
    await server.publish({ hosts: { "orders.test": ["127.0.0.2", "127.0.0.1"] } });
    await shows("127.0.0.1:8080", "127.0.0.2:8080");
    await server.publish({ hosts: { "orders.test": ["127.0.0.2", "127.0.0.3"] } });
    await shows("127.0.0.2:8080", "127.0.0.3:8080");
    await server.publish({ hosts: { "orders.test": ["127.0.0.3"] } });
    await shows("127.0.0.3:8080");
  });

  it("may be more than a datagram holds", async () => {
    const server = await serve();
    const addresses = Array.from({ length: 250 }, (_, index) => `10.0.1.${index + 1}`);
    await server.publish({ hosts: { "orders.test": addresses } });
    const { sets } = watch(server, {});
    await until("the set is there", () => sets.length > 0, 10_000);
    expect(sets[0]?.map(({ address }) => address)).toEqual([...addresses].sort());
  });

  it("are not asked for again before their time to live ends", async () => {
    const server = await serve({ ttlSeconds: 3 });
    await server.publish({ hosts: { "orders.test": ["127.0.0.1"] } });
    const { shows } = watch(server, { maxRefreshMs: 60_000 });
    await shows("127.0.0.1");
    const askedAt = performance.now();
    await server.publish({ hosts: { "orders.test": ["127.0.0.2"] } });
    await shows("127.0.0.2");
    // A lower bound, which no busy machine makes untrue: the first set was seen after it was asked for.
    expect(performance.now() - askedAt).toBeGreaterThan(2_800);
  });

  it("stay through kill -9 of the server, and are certain again when it is back", async () => {
    const server = await serve();
    await server.publish({ hosts: { "orders.test": ["127.0.0.1", "127.0.0.2"] } });
    const { sets, errors, shows } = watch(server, {});
    await shows("127.0.0.1", "127.0.0.2");
    await server.kill();
    await until("three errors are reported", () => errors.length >= 3, 15_000);
    expect(sets).toHaveLength(1);
    expect(errors[0]).toBe("DNS A orders.test: ECONNREFUSED");
    await server.restart();
    await until("the same set comes again", () => sets.length === 2, 10_000);
    expect(sets[1]).toEqual(sets[0]);
  });

  it("stay though their name is said not to exist, unless that is to be believed", async () => {
    const server = await serve();
    await server.publish({ hosts: { "orders.test": ["127.0.0.1"] } });
    const doubting = watch(server, {});
    const believing = watch(server, { clearAfter: 3 });
    await doubting.shows("127.0.0.1");
    await believing.shows("127.0.0.1");
    await server.publish({ hosts: { "other.test": ["127.0.0.1"] } });
    const denied = (errors: readonly string[]) => errors.filter((error) => error.includes("no such name"));
    await believing.shows();
    expect(denied(believing.errors)).toHaveLength(2);
    await until("it was denied three times", () => denied(doubting.errors).length >= 3, 10_000);
    expect(doubting.sets).toHaveLength(1);
  });

  it("come from the next server while the first does not answer", async () => {
    const dead = await serve();
    const alive = await serve();
    await alive.publish({ hosts: { "orders.test": ["127.0.0.1"] } });
    dead.freeze();
    const { shows } = watch(dead, { servers: [dead.address, alive.address] });
    await shows("127.0.0.1");
  });

  it("leave no socket and no question when the watch ends, even while the server is silent", async () => {
    const server = await serve();
    const before = process.getActiveResourcesInfo().length;
    server.freeze();
    const { controller, ended } = watch(server, { timeoutMs: 60_000 });
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    await ended;
    await new Promise((resolve) => setImmediate(resolve));
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before);
  });
});

describe("AAAA records", () => {
  it("are shown in brackets", async () => {
    const server = await serve();
    await server.publish({ hosts: { "orders.test": ["2001:db8::1", "127.0.0.1"] } });
    await watch(server, { type: "AAAA", port: 8080 }).shows("[2001:db8::1]:8080");
  });
});

describe("SRV records", () => {
  const hosts = { "a.test": ["127.0.0.1", "127.0.0.2"], "b.test": ["127.0.0.3"], "c.test": ["::1"] };
  const services = {
    "orders.test": [
      { target: "c.test", port: 83, priority: 20, weight: 0 },
      { target: "a.test", port: 81, priority: 10, weight: 5 },
      { target: "b.test", port: 82, priority: 10, weight: 0 },
    ],
  };

  it("tell ports, weights and tiers", async () => {
    const server = await serve();
    await server.publish({ hosts, services });
    const { sets, shows } = watch(server, { type: "SRV" });
    await shows("127.0.0.1:81", "127.0.0.2:81", "127.0.0.3:82", "[::1]:83");
    expect(sets.at(-1)).toEqual([
      { address: "127.0.0.1:81", weight: 5, priority: 0 },
      { address: "127.0.0.2:81", weight: 5, priority: 0 },
      { address: "127.0.0.3:82", weight: 0.01, priority: 0 },
      { address: "[::1]:83", weight: 1, priority: 1 },
    ]);
    await server.publish({ hosts, services: { "orders.test": [{ target: "b.test", port: 90, weight: 7 }] } });
    await shows("127.0.0.3:90");
    expect(sets.at(-1)).toEqual([{ address: "127.0.0.3:90", weight: 7, priority: 0 }]);
  });

  it("keep their targets' names where they are told to", async () => {
    const server = await serve();
    await server.publish({ hosts, services });
    await watch(server, { type: "SRV", resolveTargets: false }).shows("a.test:81", "b.test:82", "c.test:83");
  });
});
