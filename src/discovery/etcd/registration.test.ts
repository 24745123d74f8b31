/** Tests of one registration over an etcd in memory, in virtual time: what brings it back, and how it goes. */
import { beforeEach, describe, expect, it } from "vitest";
import { FakeEtcd } from "../../testing/fake-etcd.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { EtcdError } from "./failure.ts";
import { Link } from "./link.ts";
import { Registration } from "./registration.ts";

let clock: ManualClock;
let server: FakeEtcd;
let errors: string[];

beforeEach(() => {
  clock = new ManualClock();
  server = new FakeEtcd(clock);
  errors = [];
});

function register(): Registration {
  const link = new Link({
    members: ["a"],
    clock,
    random: () => 0.5,
    backoffMs: 100,
    backoffMaxMs: 5_000,
    stableMs: 10_000,
    open: (member, ended) => server.open(member, ended),
  });
  return new Registration(link, {
    name: "orders-1",
    entry: () => ({ key: "orders/1", value: "10.0.0.1:80" }),
    ttlSeconds: 15,
    clock,
    random: () => 0.5,
    backoffMs: 100,
    report: (error) => void errors.push((error as Error).message),
    left: () => {},
  });
}

const settle = (ms = 0): Promise<void> => clock.advanceAsync(ms);

describe("Registration", () => {
  it("puts the instance under a lease, and takes it out with the lease", async () => {
    const registration = register();
    await settle();
    await registration.registered;
    expect(server.keys).toEqual(["orders/1"]);
    expect([...server.leases]).toEqual(["1"]);
    await settle(60_000);
    expect(server.revision).toBe(2);
    const gone = registration[Symbol.asyncDispose]();
    expect(registration[Symbol.asyncDispose]()).toBe(gone);
    await gone;
    await settle(1);
    expect(server.keys).toEqual([]);
    expect(server.leases.size).toBe(0);
    expect(server.sessions.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
    expect(errors).toEqual([]);
  });

  it.each([
    ["its lease lapsed", () => server.expire("1")],
    ["its key was deleted", () => server.remove("orders/1")],
    ["the store was wiped", () => server.wipe()],
    ["its key was put without a lease", () => server.put("orders/1", "by hand")],
  ])("puts it again within a third of the lease and a second when %s", async (_, lose) => {
    const registration = register();
    await settle();
    await registration.registered;
    await settle(12_345);
    lose();
    await settle(5_000 + 1_000);
    expect(server.keys).toEqual(["orders/1"]);
    const [kv] = server.range({ key: Buffer.from("orders/1") }).kvs;
    expect([kv?.value.toString(), server.leases.has(kv?.lease ?? "")]).toEqual(["10.0.0.1:80", true]);
    await settle(60_000);
    expect(errors).toEqual([]);
  });

  it("waits up to a second, at random, before it puts again what all have lost at once", async () => {
    const registration = register();
    await settle();
    await registration.registered;
    server.wipe();
    await settle(5_000);
    expect(server.keys).toEqual([]);
    await settle(499);
    expect(server.keys).toEqual([]);
    await settle(1);
    expect(server.keys).toEqual(["orders/1"]);
  });

  it("takes another lease when the one it was given has ended before its put", async () => {
    const grant = server.grant.bind(server);
    server.grant = () => {
      server.grant = grant;
      const lease = grant();
      server.expire(lease);
      return lease;
    };
    const registration = register();
    await settle(1_000);
    await registration.registered;
    expect(server.keys).toEqual(["orders/1"]);
    expect([...server.leases]).toEqual(["2"]);
    expect(errors).toEqual(["requested lease not found"]);
  });

  it("is taken out also when its lease has ended already", async () => {
    const registration = register();
    await settle();
    await registration.registered;
    server.wipe();
    await registration[Symbol.asyncDispose]();
    expect(server.keys).toEqual([]);
  });

  it("does not fight with another process that has its address now", async () => {
    const registration = register();
    await settle();
    const other = server.grant();
    server.put("orders/1", "the successor", other);
    await settle(60_000);
    await registration[Symbol.asyncDispose]();
    const [kv] = server.range({ key: Buffer.from("orders/1") }).kvs;
    expect(kv?.value.toString()).toBe("the successor");
  });

  it("keeps lease and key over an outage, and tells of it once", async () => {
    const registration = register();
    await settle();
    await registration.registered;
    server.refuses = new EtcdError("connection", "refused");
    server.disconnect();
    await settle(30_000);
    expect(errors).toEqual(["dropped", "refused"]);
    server.refuses = undefined;
    await settle(5_000);
    expect(server.revision).toBe(2);
    expect([...server.leases]).toEqual(["1"]);
  });

  it("registers late when etcd is not there at first", async () => {
    server.refuses = new EtcdError("connection", "refused");
    const registration = register();
    await settle(10_000);
    expect(server.keys).toEqual([]);
    server.refuses = undefined;
    await settle(5_000);
    await registration.registered;
    expect(server.keys).toEqual(["orders/1"]);
  });

  it("is registered also when the answer to its put was lost, and can be taken out", async () => {
    const open = server.open.bind(server);
    server.open = async (member, ended) => {
      const session = await open(member, ended);
      const put = session.put.bind(session);
      session.put = async (request) => {
        await put(request);
        server.open = open;
        const lost = new EtcdError("connection", "dropped");
        server.disconnect(lost);
        throw lost;
      };
      return session;
    };
    const registration = register();
    let isRegistered = false;
    void registration.registered.then(() => {
      isRegistered = true;
    });
    await settle(10_000);
    expect(server.keys).toEqual(["orders/1"]);
    expect(isRegistered).toBe(true);
    expect(server.revision).toBe(2);
    await registration[Symbol.asyncDispose]();
    expect(server.keys).toEqual([]);
  });

  it("says after 3 s that it could not take the instance out", async () => {
    const registration = register();
    await settle();
    server.refuses = new EtcdError("connection", "refused");
    server.disconnect();
    const gone = expect(registration[Symbol.asyncDispose]()).rejects.toThrow(
      "orders-1 could not be taken out of etcd within 3000 ms",
    );
    await settle(3_000);
    await gone;
    await settle(1);
    expect(clock.pendingTimers).toBe(0);
    expect(server.keys).toEqual(["orders/1"]);
  });

  it("takes it out over the next connection when one breaks", async () => {
    const registration = register();
    await settle();
    server.disconnect();
    const gone = registration[Symbol.asyncDispose]();
    await settle(100);
    await gone;
    expect(server.keys).toEqual([]);
  });

  it("puts nothing when it was let go while a lease was being granted", async () => {
    const gate = Promise.withResolvers<void>();
    const open = server.open.bind(server);
    server.open = async (member, ended) => {
      const session = await open(member, ended);
      const grant = session.grant.bind(session);
      session.grant = async (ttlSeconds) => {
        await gate.promise;
        return grant(ttlSeconds);
      };
      return session;
    };
    const registration = register();
    const rejected = expect(registration.registered).rejects.toThrow("enough");
    await settle();
    registration.letGo(new Error("enough"));
    gate.resolve();
    await rejected;
    await settle();
    expect(server.keys).toEqual([]);
    expect(server.leases.size).toBe(0);
  });

  it("lets go of everything at once, takes nothing out, and rejects who still waits", async () => {
    server.refuses = new EtcdError("connection", "refused");
    const waiting = register();
    await settle();
    const rejected = expect(waiting.registered).rejects.toThrow("enough");
    waiting.letGo(new Error("enough"));
    await rejected;
    server.refuses = undefined;
    const registration = register();
    await settle();
    registration.letGo(new Error("enough"));
    await settle(1);
    await registration[Symbol.asyncDispose]();
    expect(server.keys).toEqual(["orders/1"]);
    expect(clock.pendingTimers).toBe(0);
  });
});
