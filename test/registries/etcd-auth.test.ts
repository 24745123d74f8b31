/** An etcd with users: tokens that expire while a client watches, and users who may not. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { etcd } from "../../src/discovery/etcd.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import { entriesUnder, putInstance } from "./support/etcd-writer.ts";
import { base64, type EtcdServer, startEtcd } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

const root = { username: "root", password: "secret" };
/** After which a token has certainly expired. */
const expiredMs = 2_500;
const one = { address: "10.0.0.1:80" };

function startWithUsers(binary: string): Promise<EtcdServer> {
  return startEtcd({ binary, auth: { user: root.username, password: root.password, tokenTtlSeconds: 1 } });
}

describeEtcd("etcd's users", (binary) => {
  it.concurrent("watches a further service, registers and keeps a lease after the token has expired", async () => {
    await using server = await startWithUsers(binary);
    const client = etcd({ endpoints: server.address, auth: root, ttlMs: 6_000 });
    await putInstance(server, "orders", one.address);
    await using orders = new WatchedSet(client, "orders", etcdSubject);
    await orders.untilExactly([one]);
    // The wall clock: a token that is not used lives 1 s, and etcd looks for dead ones every second.
    await sleep(expiredMs);
    // On the stream that was opened with the old token.
    await using users = new WatchedSet(client, "users", etcdSubject);
    await users.untilExactly([]);
    await sleep(expiredMs);
    const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
    const registration = await client.register(
      { service: "orders", id: "two", address: "http://10.0.0.2:80" },
      context,
    );
    await orders.untilExactly([one, { address: "10.0.0.2:80" }]);
    // More than its lease, in which each renewal finds that the token has expired.
    await sleep(7_000);
    expect(await entriesUnder(server, "orders/")).toHaveLength(2);
    await registration[Symbol.asyncDispose]();
    await orders.untilExactly([one]);
    expect([...orders.errors, ...users.errors]).toEqual([]);
  }, 60_000);

  it.concurrent("goes on after the server forgot all tokens, users and roles having changed", async () => {
    await using server = await startWithUsers(binary);
    const client = etcd({ endpoints: server.address, auth: root });
    await using orders = new WatchedSet(client, "orders", etcdSubject);
    await orders.untilExactly([]);
    await server.call("auth/user/add", { name: "somebody", password: "else" });
    await using users = new WatchedSet(client, "users", etcdSubject);
    await users.untilExactly([]);
    await server.restart();
    await putInstance(server, "orders", one.address);
    await orders.untilExactly([one]);
  });

  it.concurrent("tells of a wrong password, and of what the user may not see, and goes on when he may", async () => {
    await using server = await startWithUsers(binary);
    const wrong = etcd({ endpoints: server.address, auth: { ...root, password: "wrong" } });
    await using refused = new WatchedSet(wrong, "orders", etcdSubject);
    await refused.untilError(0);
    expect(String(refused.errors[0])).toContain("authentication failed");

    await server.call("auth/user/add", { name: "reader", password: "pass" });
    await server.call("auth/role/add", { name: "orders" });
    await server.call("auth/user/grant", { user: "reader", role: "orders" });
    const reader = etcd({ endpoints: server.address, auth: { username: "reader", password: "pass" } });
    await using orders = new WatchedSet(reader, "orders", etcdSubject);
    await orders.untilError(0);
    expect(String(orders.errors[0])).toContain("permission denied");
    await server.call("auth/role/grant", {
      name: "orders",
      perm: { permType: "READ", key: base64("orders/"), range_end: base64("orders0") },
    });
    await putInstance(server, "orders", one.address);
    await orders.untilExactly([one]);

    await using anonymous = new WatchedSet(etcd({ endpoints: server.address }), "orders", etcdSubject);
    await anonymous.untilError(0);
    expect(String(anonymous.errors[0])).toContain("user name is empty");
  });
});
