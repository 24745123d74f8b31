/** Tests of a watched name over name servers that are played by hand, in virtual time. */
import { afterEach, describe, expect, it } from "vitest";
import type { Endpoint } from "../../core/endpoint.ts";
import { discoveryContract } from "../../testing/discovery-contract.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import type { Lookup, Reply } from "./lookup.ts";
import { type DnsOptions, resolveDnsOptions } from "./options.ts";
import type { AddressRecord, SrvRecord } from "./records.ts";
import { DnsWatch } from "./watch.ts";

/** The records of one name, or what goes wrong with it. */
type Zone = Map<string, readonly (string | SrvRecord)[] | "gone" | "broken" | "silent">;

class PlayedServer {
  readonly zone: Zone = new Map();
  /** In seconds, of every address. */
  ttl = 5;
  readonly asked: string[] = [];
  /** Lookups that were made, and those of them that were not closed. */
  made = 0;
  open = 0;
  readonly #silenced: Set<() => void> = new Set();

  createLookup(): Lookup {
    this.made++;
    this.open++;
    let isOpen = true;
    return {
      addresses: (name, type) =>
        this.#answer(`${type} ${name}`, (record) => ({ address: String(record), ttl: this.ttl })),
      services: (name) => this.#answer(`SRV ${name}`, (record) => record as SrvRecord),
      close: () => {
        if (isOpen) this.open--;
        isOpen = false;
        for (const end of this.#silenced) end();
      },
    };
  }

  async #answer<Record extends AddressRecord | SrvRecord>(
    question: string,
    read: (record: string | SrvRecord) => Record,
  ): Promise<Reply<Record>> {
    this.asked.push(question);
    const found = this.zone.get(question) ?? "gone";
    if (found === "silent") await new Promise<void>((resolve) => this.#silenced.add(resolve));
    if (typeof found === "string") {
      return { kind: found === "gone" ? "none" : "failed", error: new Error(`${question}: ${found}`) };
    }
    return { kind: "records", records: found.map(read) };
  }
}

const controllers: AbortController[] = [];
afterEach(() => {
  for (const controller of controllers.splice(0)) controller.abort();
});

function watch(server: PlayedServer, options: DnsOptions = { port: 80 }, random = 0) {
  const clock = new ManualClock();
  const controller = new AbortController();
  controllers.push(controller);
  const sets: string[][] = [];
  const events: string[] = [];
  const wakers = new Set<() => void>();
  const { signal } = controller;
  const dns = new DnsWatch(resolveDnsOptions(options), {
    createLookup: () => server.createLookup(),
    clock,
    random: () => random,
  });
  const ended = (async () => {
    const report = (error: unknown): void => void events.push((error as Error).message);
    for await (const set of dns.run({ service: "orders", signal, report, wakers })) {
      const texts = set.map(({ address, weight, priority }) => [address, weight, priority].join(" ").trim());
      sets.push(texts);
      events.push(texts.join(", "));
    }
  })();
  return { clock, controller, sets, events, ended, wakers };
}

const srv = (name: string, priority = 0, weight = 1): SrvRecord => ({ name, port: 80, priority, weight });

describe("a watched name", () => {
  it("is the service's own where no other is given, and is asked again when its time to live ends", async () => {
    const server = new PlayedServer();
    server.zone.set("A orders", ["10.0.0.1"]);
    const { clock, sets } = watch(server);
    await clock.advanceAsync(4_999);
    expect(server.asked).toEqual(["A orders"]);
    server.zone.set("A orders", ["10.0.0.2", "10.0.0.1"]);
    await clock.advanceAsync(1);
    expect(sets).toEqual([["10.0.0.1:80"], ["10.0.0.1:80", "10.0.0.2:80"]]);
    // Turned round is not changed.
    server.zone.set("A orders", ["10.0.0.1", "10.0.0.2"]);
    server.ttl = 0;
    await clock.advanceAsync(5_000);
    expect(server.asked).toHaveLength(3);
    await clock.advanceAsync(2_000);
    expect(server.asked).toHaveLength(5);
    expect(sets).toHaveLength(2);
  });

  it("keeps its set through errors, says so, and yields it again once the server answers", async () => {
    const server = new PlayedServer();
    server.zone.set("A orders", ["10.0.0.1"]);
    const { clock, events } = watch(server);
    await clock.advanceAsync(0);
    server.zone.set("A orders", "broken");
    // After the first time to live: at 5 s, then 0.5, 1 and 2 s later.
    await clock.advanceAsync(8_500);
    expect(events).toEqual(["10.0.0.1:80", ...Array(4).fill("A orders: broken")]);
    server.zone.set("A orders", ["10.0.0.1"]);
    await clock.advanceAsync(4_000);
    expect(events.at(-1)).toBe("10.0.0.1:80");
    expect(server.open).toBe(1);
    // Anew after each of four errors: the system's servers may be others by then.
    expect(server.made).toBe(5);
  });

  it("is never cleared because it is said not to exist", async () => {
    const server = new PlayedServer();
    server.zone.set("A orders", ["10.0.0.1"]);
    const { clock, sets, events } = watch(server);
    await clock.advanceAsync(0);
    server.zone.set("A orders", "gone");
    await clock.advanceAsync(600_000);
    expect(sets).toEqual([["10.0.0.1:80"]]);
    expect(events.length).toBeGreaterThan(10);
  });

  it("is cleared after as many confirmations in a row as were asked for", async () => {
    const server = new PlayedServer();
    server.zone.set("A orders", ["10.0.0.1"]);
    const { clock, sets, events } = watch(server, { port: 80, clearAfter: 3 });
    await clock.advanceAsync(0);
    server.zone.set("A orders", "gone");
    await clock.advanceAsync(5_500);
    // An error between them: it confirms nothing.
    server.zone.set("A orders", "broken");
    await clock.advanceAsync(1_000);
    server.zone.set("A orders", "gone");
    await clock.advanceAsync(2_000 + 4_000);
    expect(sets).toEqual([["10.0.0.1:80"]]);
    await clock.advanceAsync(8_000);
    expect(sets).toEqual([["10.0.0.1:80"], []]);
    expect(events.filter((event) => event === "A orders: gone")).toHaveLength(4);
    server.zone.set("A orders", ["10.0.0.1"]);
    await clock.advanceAsync(30_000);
    expect(sets).toEqual([["10.0.0.1:80"], [], ["10.0.0.1:80"]]);
  });

  it("leaves nothing behind when it is aborted while a server is silent", async () => {
    const server = new PlayedServer();
    server.zone.set("A orders", "silent");
    const { clock, controller, ended, events } = watch(server);
    await clock.advanceAsync(60_000);
    expect(server.open).toBe(1);
    controller.abort();
    await ended;
    expect(server.open).toBe(0);
    expect(clock.pendingTimers).toBe(0);
    expect(events).toEqual([]);
  });

  it("asks for AAAA records where it is told so", async () => {
    const server = new PlayedServer();
    server.zone.set("AAAA six.test", ["2001:db8::1"]);
    const { clock, sets } = watch(server, { name: "six.test", type: "AAAA", port: 8080 });
    await clock.advanceAsync(0);
    expect(sets).toEqual([["[2001:db8::1]:8080"]]);
  });
});

describe("a watched service", () => {
  it("takes its targets' addresses, IPv6 where there are no others, and asks for them as they expire", async () => {
    const server = new PlayedServer();
    server.ttl = 30;
    server.zone.set("SRV orders", [srv("a", 0, 3), srv("b", 1, 2)]);
    server.zone.set("A a", ["10.0.0.1", "10.0.0.2"]);
    server.zone.set("AAAA b", ["2001:db8::1"]);
    const { clock, sets } = watch(server, { type: "SRV" });
    await clock.advanceAsync(0);
    expect(sets).toEqual([["10.0.0.1:80 3 0", "10.0.0.2:80 3 0", "[2001:db8::1]:80 2 1"]]);
    server.asked.length = 0;
    server.zone.set("SRV orders", [srv("a", 0, 4)]);
    await clock.advanceAsync(5_000);
    expect(sets.at(-1)).toEqual(["10.0.0.1:80 4 0", "10.0.0.2:80 4 0"]);
    expect(server.asked).toEqual(["SRV orders"]);
    server.zone.set("A a", ["10.0.0.3"]);
    await clock.advanceAsync(25_000);
    expect(sets.at(-1)).toEqual(["10.0.0.3:80 4 0"]);
  });

  it("keeps the addresses of a target that cannot be resolved, and reports it once", async () => {
    const server = new PlayedServer();
    server.ttl = 1;
    server.zone.set("SRV orders", [srv("a"), srv("b")]);
    server.zone.set("A a", ["10.0.0.1"]);
    server.zone.set("A b", ["10.0.0.2"]);
    const { clock, events } = watch(server, { type: "SRV" });
    await clock.advanceAsync(0);
    server.zone.set("A b", "broken");
    server.zone.set("A a", ["10.0.0.3"]);
    await clock.advanceAsync(20_000);
    expect(events).toEqual([
      "10.0.0.1:80 1 0, 10.0.0.2:80 1 0",
      "10.0.0.3:80 1 0, 10.0.0.2:80 1 0",
      "A b: broken",
    ]);
    server.zone.set("A b", ["10.0.0.2"]);
    await clock.advanceAsync(5_000);
    expect(events.at(-1)).toBe("10.0.0.3:80 1 0, 10.0.0.2:80 1 0");
  });

  it("has no set, and not an empty one, while no target can be resolved", async () => {
    const server = new PlayedServer();
    server.zone.set("SRV orders", [srv("a")]);
    const { clock, sets, events } = watch(server, { type: "SRV" });
    await clock.advanceAsync(0);
    expect(sets).toEqual([]);
    expect(events).toEqual(["AAAA a: gone"]);
  });

  it("leaves its targets as names where it is told so, and takes the root for a refusal", async () => {
    const server = new PlayedServer();
    server.zone.set("SRV orders", [srv("a.test")]);
    const { clock, sets, events } = watch(server, { type: "SRV", resolveTargets: false });
    await clock.advanceAsync(0);
    expect(sets).toEqual([["a.test:80 1 0"]]);
    expect(server.asked).toEqual(["SRV orders"]);
    server.zone.set("SRV orders", [srv("")]);
    await clock.advanceAsync(5_000);
    expect(sets).toHaveLength(1);
    expect(events.at(-1)).toContain("no such service");
  });
});

describe("DNS as a source", () => {
  const contract = discoveryContract(async () => {
    const server = new PlayedServer();
    const options = resolveDnsOptions({ type: "SRV", minRefreshMs: 100 });
    // Ten times as fast as the options allow, so that the tests are quick.
    const clock = {
      now: () => performance.now() * 10,
      schedule: (callback: () => void, delayMs: number) => {
        const timer = setTimeout(callback, delayMs / 10);
        return { cancel: () => clearTimeout(timer), keepAlive: () => {} };
      },
    };
    const surroundings = { createLookup: () => server.createLookup(), clock, random: Math.random };
    return {
      discovery: {
        async *watch(context) {
          for await (const set of new DnsWatch(options, surroundings).run(context)) {
            yield set.map((endpoint) => ({ ...endpoint, address: `http://${endpoint.address}` }));
          }
        },
      },
      openHandles: () => server.open,
      publish: async (endpoints: readonly Endpoint[]) => {
        const records = endpoints.map(({ address, weight = 1 }) => {
          const { hostname, port } = new URL(address);
          server.zone.set(`A host-${hostname}`, [hostname]);
          return { name: `host-${hostname}`, port: Number(port), priority: 0, weight };
        });
        server.zone.set("SRV orders", records);
      },
      // No record can hold a bad weight.
      takesBadEndpoints: false,
      dispose: async () => {},
    };
  });
  for (const { name, run } of contract) it(name, run);
});

it("asks sooner when it is woken, but no sooner than minRefreshMs after it last asked", async () => {
  const server = new PlayedServer();
  server.ttl = 60;
  server.zone.set("A orders", ["10.0.0.1"]);
  const { clock, wakers } = watch(server, { port: 80, type: "A", minRefreshMs: 1_000 });
  const settle = async (ms: number): Promise<void> => {
    await clock.advanceAsync(ms);
  };
  await settle(0);
  expect(server.asked).toHaveLength(1);
  for (const wake of wakers) wake();
  await settle(900);
  expect(server.asked).toHaveLength(1);
  await settle(100);
  expect(server.asked).toHaveLength(2);
  await settle(10_000);
  expect(server.asked).toHaveLength(2);
  for (const wake of wakers) wake();
  await settle(0);
  expect(server.asked).toHaveLength(3);
  expect(wakers.size).toBe(1);
});
