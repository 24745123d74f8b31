/** Blocking queries against a real Consul: what they cost, what they believe, what checks and weights come to. */
import { Agent, type Dispatcher } from "undici";
import { expect, it } from "vitest";
import { type ConsulOptions, consul } from "../../src/discovery/consul.ts";
import { consulSubject } from "./subjects/consul.ts";
import { startConsulPair } from "./support/consul-pair.ts";
import { describeWith } from "./support/describe-with.ts";
import { type ConsulServer, startConsul } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

/** Writes an instance past our own client. */
async function put(server: ConsulServer, number: number, more: object = {}): Promise<void> {
  await server.call("PUT", "/v1/agent/service/register", {
    Name: "orders",
    ID: `orders-${number}`,
    Address: `10.0.0.${number}`,
    Port: 80,
    ...more,
  });
}

async function remove(server: ConsulServer, number: number): Promise<void> {
  await server.call("PUT", `/v1/agent/service/deregister/orders-${number}`);
}

const at = (number: number, weight = 1) => ({
  address: `10.0.0.${number}:80`,
  weight,
  zone: undefined as never,
});

/** The queries that go out, each with what it asks and what the answer says of itself. */
class Queries {
  readonly asked: { readonly index: number; headers: Readonly<Record<string, unknown>> | undefined }[] = [];
  readonly agent: Agent = new Agent();

  /** For the option `dispatcher`. */
  get dispatcher(): Dispatcher {
    return this.agent.compose((dispatch) => (options, handler) => {
      const { searchParams } = new URL(options.path, "http://consul");
      const query = { index: Number(searchParams.get("index") ?? 0), headers: undefined as never };
      this.asked.push(query);
      return dispatch(options, {
        onRequestStart: (...given) => handler.onRequestStart?.(...given),
        onResponseStart: (controller, status, headers, message) => {
          query.headers = headers as never;
          handler.onResponseStart?.(controller, status, headers, message);
        },
        onResponseData: (...given) => handler.onResponseData?.(...given),
        onResponseEnd: (...given) => handler.onResponseEnd?.(...given),
        onResponseError: (...given) => handler.onResponseError?.(...given),
      });
    });
  }
}

describeWith(["consul"], "Consul's blocking queries", () => {
  it("wait while nothing changes, and cost one query for each change", async () => {
    await using server = await startConsul();
    const queries = new Queries();
    const source = consul({ address: server.url, dispatcher: queries.dispatcher });
    await using set = new WatchedSet(source, "orders", consulSubject);
    await set.untilExactly([]);
    await put(server, 1);
    await set.untilExactly([at(1)]);
    // Another service is no change of this one, though Consul's index goes on.
    for (let number = 0; number < 5; number++)
      await put(server, number, { Name: "users", ID: `users-${number}` });
    await put(server, 2);
    await set.untilExactly([at(1), at(2)]);
    await remove(server, 1);
    await set.untilExactly([at(2)]);
    // For everything, and for what is newer: than the first answer, and than each of the two additions. A removal is
    // confirmed, since answers after a wait say that they know no leader, whether there is one or not.
    const expected = ["all", "newer", "newer", "newer", "all", "newer"];
    await expect
      .poll(() => queries.asked.map(({ index }) => (index === 0 ? "all" : "newer")))
      .toEqual(expected);
    expect([set.updates, set.errors]).toEqual([4, []]);
  });

  it("see what a server does whose index has gone back", async () => {
    await using server = await startConsul();
    const queries = new Queries();
    const source = consul({ address: server.url, dispatcher: queries.dispatcher });
    for (let change = 0; change < 30; change++) await put(server, 1, { Meta: { change: String(change) } });
    await using set = new WatchedSet(source, "orders", consulSubject);
    await set.untilExactly([at(1)]);
    const high = queries.asked.at(-1)?.index ?? 0;
    await server.wipe();
    await put(server, 2);
    await set.untilExactly([at(2)], 40_000);
    await put(server, 3);
    await set.untilExactly([at(2), at(3)]);
    const low = Number(queries.asked.at(-2)?.headers?.["x-consul-index"]);
    expect(low).toBeGreaterThan(0);
    expect(low).toBeLessThan(high);
  });

  it("follow an instance through its checks, with the weights for passing and warning", async () => {
    await using server = await startConsul();
    const watch = (options: ConsulOptions) =>
      new WatchedSet(consul({ address: server.url, ...options }), "orders", consulSubject);
    await using passing = watch({});
    await using warning = watch({ passingOnly: false });
    await put(server, 1);
    await put(server, 2, {
      Weights: { Passing: 10, Warning: 2 },
      Check: { CheckID: "two", TTL: "1h", Status: "passing" },
    });
    await passing.untilExactly([at(1), at(2, 10)]);
    await warning.untilExactly([at(1), at(2, 10)]);
    await server.call("PUT", "/v1/agent/check/warn/two");
    await passing.untilExactly([at(1)]);
    await warning.untilExactly([at(1), at(2, 2)]);
    await server.call("PUT", "/v1/agent/check/fail/two");
    await warning.untilExactly([at(1)]);
    await server.call("PUT", "/v1/agent/check/pass/two");
    await passing.untilExactly([at(1), at(2, 10)]);
    await warning.untilExactly([at(1), at(2, 10)]);
  });

  it("ask for tags and filters, and for many services at once", async () => {
    await using server = await startConsul();
    await put(server, 1, { Tags: ["blue", "v2"], Meta: { tier: "gold" } });
    await put(server, 2, { Tags: ["blue"], Meta: { tier: "gold" } });
    await put(server, 3, { Tags: ["green"] });
    const watch = (options: ConsulOptions, service = "orders") =>
      new WatchedSet(consul({ address: server.url, ...options }), service, consulSubject);
    await using blue = watch({ tag: "blue" });
    await blue.untilExactly([at(1), at(2)]);
    await using both = watch({ tag: ["blue", "v2"] });
    await both.untilExactly([at(1)]);
    await using gold = watch({ filter: 'Service.Meta.tier != "gold"', service: "orders" }, "another name");
    await gold.untilExactly([at(3)]);
    const one = consul({ address: server.url });
    await using services = new AsyncDisposableStack();
    for (let number = 0; number < 30; number++) {
      const set = services.use(new WatchedSet(one, `service-${number}`, consulSubject));
      await set.untilExactly([]);
    }
    await put(server, 7, { Name: "service-29" });
    await using last = new WatchedSet(one, "service-29", consulSubject);
    await last.untilExactly([at(7)]);
  });

  it("are answered without a leader only if they may be stale", async () => {
    await using pair = await startConsulPair();
    const [url] = pair.urls;
    const register = async (number: number): Promise<void> => {
      const body = JSON.stringify({
        Name: "orders",
        ID: `o${number}`,
        Address: `10.0.0.${number}`,
        Port: 80,
      });
      await fetch(`${url}/v1/agent/service/register`, { method: "PUT", body });
    };
    await register(1);
    const queries = new Queries();
    await using before = new WatchedSet(consul({ address: url }), "orders", consulSubject);
    await before.untilExactly([at(1)]);
    const { length: sets } = before.snapshots;
    // A follower hears of what the leader has committed a moment later, and would never hear of it without one.
    const countStale = async () => {
      const answer = await fetch(`${url}/v1/health/service/orders?stale`);
      return ((await answer.json()) as readonly unknown[]).length;
    };
    await expect.poll(countStale, { timeout: 10_000 }).toBe(1);
    await pair.servers[1].kill();
    const readLeader = async () => (await fetch(`${url}/v1/status/leader`)).text();
    await expect.poll(readLeader, { timeout: 30_000 }).not.toMatch(/\d/);
    await using stale = new WatchedSet(
      consul({ address: url, stale: true, dispatcher: queries.dispatcher }),
      "orders",
      consulSubject,
    );
    await stale.untilExactly([at(1)]);
    await using strict = new WatchedSet(consul({ address: url }), "orders", consulSubject);
    await strict.untilError(0);
    expect(String(strict.errors[0])).toContain("No cluster leader");
    expect(queries.asked[0]?.headers?.["x-consul-knownleader"]).toBe("false");
    expect(strict.present).toBeUndefined();
    expect(before.snapshots).toHaveLength(sets);
    await pair.servers[1].restart();
    await strict.untilExactly([at(1)], 40_000);
    await register(2);
    for (const set of [before, stale, strict]) await set.untilExactly([at(1), at(2)], 40_000);
  });
});
