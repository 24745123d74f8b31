/** Tests of a watched service over an etcd in memory, in virtual time. */
import { beforeEach, describe, expect, it } from "vitest";
import { FakeEtcd, type FakeSession } from "../../testing/fake-etcd.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { EtcdError } from "./failure.ts";
import { Link } from "./link.ts";
import { ServiceWatch } from "./service-watch.ts";

let clock: ManualClock;
let server: FakeEtcd;
let link: Link;

beforeEach(() => {
  clock = new ManualClock();
  server = new FakeEtcd(clock);
  link = new Link({
    members: ["a"],
    clock,
    random: () => 0.5,
    backoffMs: 100,
    backoffMaxMs: 5_000,
    stableMs: 10_000,
    open: (member, ended) => server.open(member, ended),
  });
});

/** Watches `orders/` and keeps a log: sets as "1,2", errors as "! message". */
function watch(prefix = "orders/"): { readonly log: string[]; close(): void } {
  const log: string[] = [];
  const service: ServiceWatch = new ServiceWatch({
    prefix,
    decode: ({ value }) => {
      if (value === "bad") throw new Error("it is bad");
      return { address: value };
    },
    clock,
    random: () => 0.5,
    backoffMs: 100,
    backoffMaxMs: 5_000,
    wake: () => {
      for (let news = service.take(); news !== undefined; news = service.take()) {
        if ("error" in news) log.push(`! ${news.error.message}`);
        else
          log.push(
            news.endpoints
              .map(({ address }) => address)
              .sort()
              .join(),
          );
      }
    },
  });
  const leave = link.join(service);
  return {
    log,
    close() {
      service.close();
      leave();
    },
  };
}

function theSession(): FakeSession {
  const [session] = server.sessions;
  if (session === undefined) throw new Error("there is no connection");
  return session;
}

const settle = (ms = 0): Promise<void> => clock.advanceAsync(ms);

describe("ServiceWatch", () => {
  it("lists, and follows what changes", async () => {
    server.put("orders/a", "1");
    server.put("users/a", "9");
    const { log } = watch();
    await settle();
    server.put("orders/b", "2");
    server.put("users/b", "9");
    server.remove("orders/a");
    expect(log).toEqual(["1", "1,2", "2"]);
    expect(server.lists).toBe(1);
  });

  it("says that there is nothing, too", async () => {
    const { log } = watch();
    await settle();
    expect(log).toEqual([""]);
  });

  it("serves many services over one connection", async () => {
    const [orders, users] = [watch(), watch("users/")];
    await settle();
    server.put("users/a", "9");
    expect([orders.log, users.log]).toEqual([[""], ["", "9"]]);
    expect(server.opened).toHaveLength(1);
    orders.close();
    server.put("users/b", "8");
    await settle();
    expect(users.log.at(-1)).toBe("8,9");
    expect(theSession().watching).toBe(1);
    users.close();
    await settle(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("misses nothing that happened while the connection was away, and lists only once", async () => {
    server.put("orders/a", "1");
    server.put("orders/b", "2");
    const { log } = watch();
    await settle();
    server.disconnect();
    server.remove("orders/a");
    server.put("orders/c", "3");
    await settle(100);
    expect(log).toEqual(["1,2", "! dropped", "1,2", "2,3"]);
    expect(server.lists).toBe(1);
  });

  it("is fresh again after an outage without changes, and names its reason once", async () => {
    server.put("orders/a", "1");
    const { log } = watch();
    await settle();
    server.refuses = new EtcdError("connection", "refused");
    server.disconnect();
    await settle(30_000);
    expect(log).toEqual(["1", "! dropped", "! refused"]);
    server.refuses = undefined;
    await settle(5_000);
    expect(log.slice(3)).toEqual(["1"]);
  });

  it("takes a revision whole that comes in fragments, with a break in between", async () => {
    server.eventsPerAnswer = 2;
    const { log } = watch();
    await settle();
    server.disconnect();
    server.transact([
      ["PUT", "orders/a", "1"],
      ["PUT", "orders/b", "2"],
      ["PUT", "orders/c", "3"],
    ]);
    await settle(50);
    expect(log.at(-1)).toBe("1,2,3");
  });

  it("lists again when its place in the history was compacted", async () => {
    server.put("orders/a", "1");
    server.put("orders/b", "2");
    const { log } = watch();
    await settle();
    server.disconnect();
    server.remove("orders/a");
    server.put("orders/c", "3");
    server.compact();
    await settle(100);
    expect(log.at(-1)).toBe("2,3");
    expect(server.lists).toBe(2);
    server.put("orders/d", "4");
    expect(log.at(-1)).toBe("2,3,4");
  });

  it("lists again when the store was wiped, although etcd takes the watch", async () => {
    for (let index = 0; index < 100; index++) server.put("orders/a", String(index));
    const { log } = watch();
    await settle();
    server.disconnect();
    server.wipe();
    server.put("orders/b", "2");
    await settle(100);
    expect(log.at(-1)).toBe("2");
    server.put("orders/c", "3");
    expect(log.at(-1)).toBe("2,3");
  });

  it.each([
    ["other keys", "orders/z", "8", "9"],
    ["the same key at the same revision under another lease", "orders/b", "8", "9"],
    ["the same key without a lease at another revision", "orders/b", "0", "0"],
  ])(
    "lists again when the store was wiped and has come as far as it was: %s",
    async (_, key, lease, newLease) => {
      server.put("orders/a", "1", "7");
      server.put("orders/b", "2", lease);
      const { log } = watch();
      await settle();
      server.disconnect();
      server.wipe();
      if (newLease !== "0") server.put("users/a", "9");
      server.put(key, "3", newLease);
      server.put("users/b", "9");
      server.put("users/c", "9");
      await settle(100);
      expect(log.at(-1)).toBe("3");
      server.remove(key);
      expect(log.at(-1)).toBe("");
    },
  );

  it("lists again when there is nothing left by which to know the store", async () => {
    server.put("orders/a", "1");
    server.put("orders/b", "2");
    const { log } = watch();
    await settle();
    server.remove("orders/b");
    server.disconnect();
    server.wipe();
    for (let index = 0; index < 5; index++) server.put("orders/c", "3");
    await settle(100);
    expect(log.at(-1)).toBe("3");
  });

  it("goes on for itself when etcd will not list it, without disturbing others", async () => {
    const users = watch("users/");
    await settle();
    server.denies = new EtcdError("denied", "permission denied");
    const { log } = watch();
    await settle(20_000);
    expect(log).toEqual(["! permission denied"]);
    expect(server.opened).toHaveLength(1);
    server.denies = undefined;
    server.put("orders/a", "1");
    await settle(5_000);
    expect(log.slice(1)).toEqual(["1"]);
    expect(users.log).toEqual([""]);
  });

  it.each(["etcdserver: invalid auth token", "etcdserver: permission denied"])(
    "connects anew with a new token when its watch is refused with %j",
    async (reason) => {
      server.put("users/a", "9");
      const users = watch("users/");
      await settle();
      server.refusedWatches.push(reason);
      const { log } = watch();
      await settle(100);
      server.put("orders/a", "1");
      server.put("users/b", "8");
      expect(log).toEqual(["", "1"]);
      expect(users.log).toEqual(["9", "8,9"]);
      expect(server.opened).toHaveLength(2);
    },
  );

  it("says so when its watch is refused with the new token as well, and tries on", async () => {
    server.refusedWatches.push("etcdserver: permission denied", "etcdserver: permission denied");
    const { log } = watch();
    await settle();
    expect(log).toEqual(["", "! etcd refuses to watch orders/: etcdserver: permission denied"]);
    await settle(5_000);
    server.put("orders/a", "1");
    expect(log.at(-1)).toBe("1");
  });

  it("leaves out a bad value, names its key, and is fresh with the rest", async () => {
    server.put("orders/a", "1");
    server.put("orders/b", "bad");
    const { log } = watch();
    await settle();
    server.put("orders/a", "bad");
    const complaint = (key: string): string =>
      `! the value of etcd's key "orders/${key}" is no endpoint: it is bad`;
    expect(log).toEqual([complaint("b"), "1", complaint("a"), ""]);
  });

  it("keeps one set at most for one who does not ask, however often a bad value changes", async () => {
    const service = new ServiceWatch({
      prefix: "orders/",
      decode: ({ value }) => {
        if (value.startsWith("bad")) throw new Error("it is bad");
        return { address: value };
      },
      clock,
      random: () => 0.5,
      backoffMs: 100,
      backoffMaxMs: 5_000,
      wake: () => {},
    });
    const leave = link.join(service);
    await settle();
    for (let round = 0; round < 100; round++) server.put("orders/a", `bad ${round}`);
    server.put("orders/b", "2");
    const news = Array.from({ length: 200 }, () => service.take()).filter((each) => each !== undefined);
    expect(news.filter((each) => "endpoints" in each)).toEqual([{ endpoints: [{ address: "2" }] }]);
    expect(news.at(-1)).toHaveProperty("endpoints");
    service.close();
    leave();
  });

  it("goes to another member when etcd falls silent", async () => {
    const { log } = watch();
    await settle();
    theSession().isMute = true;
    await settle(15_100);
    server.put("orders/a", "1");
    expect(log).toEqual(["", "! nothing on the watch stream for 15000 ms", "", "1"]);
  });
});
