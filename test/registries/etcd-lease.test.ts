/** Registrations that lose what keeps them: the lease, the key, the server, or their own process. */
import { expect, it } from "vitest";
import type { Instance } from "../../src/core/contracts.ts";
import { etcd } from "../../src/discovery/etcd.ts";
import { until } from "../support/until.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import { entriesUnder, put, remove } from "./support/etcd-writer.ts";
import { type EtcdServer, startEtcd } from "./support/servers.ts";

const instance: Instance = { service: "orders", id: "10.0.0.1:80:1", address: "http://10.0.0.1:80" };
const key = "orders/10.0.0.1:80";
/** The shortest that two renewals fit in well; what is lost is back within a third of it and a second. */
const ttlMs = 6_000;
const backLimitMs = 15_000;

describeEtcd("etcd's leases", (binary) => {
  it.concurrent("puts an instance again that lost its lease or its key, each time under a lease", async () => {
    await using server = await startEtcd({ binary });
    const errors: unknown[] = [];
    const context = {
      service: "orders",
      signal: new AbortController().signal,
      report: (error: unknown) => void errors.push(error),
    };
    const registration = await etcd({ endpoints: server.address, ttlMs }).register(instance, context);
    const first = await leaseOf(server);
    expect(first).not.toBe("0");

    await server.call("lease/revoke", { ID: first });
    expect(await leaseOf(server)).toBeUndefined();
    const second = await leaseAfter(server, (lease) => lease !== undefined);
    expect(second).not.toBe(first);

    await remove(server, key);
    expect(await leaseAfter(server, (lease) => lease !== undefined)).toBe(second);

    // Without a lease it would stay there for ever.
    await put(server, key, "by hand");
    expect(await leaseAfter(server, (lease) => lease !== "0")).toBe(second);

    await registration[Symbol.asyncDispose]();
    expect(await leaseOf(server)).toBeUndefined();
    expect(await server.call("lease/timetolive", { ID: second })).toMatchObject({ TTL: "-1" });
    expect(errors).toEqual([]);
  });

  it.concurrent("keeps an instance while its server is dead for longer than the lease", async () => {
    await using server = await startEtcd({ binary });
    const errors: unknown[] = [];
    const context = {
      service: "orders",
      signal: new AbortController().signal,
      report: (error: unknown) => void errors.push(error),
    };
    const registration = await etcd({ endpoints: server.address, ttlMs }).register(instance, context);
    const lease = await leaseOf(server);
    await server.kill();
    await until("the outage is reported", () => errors.length > 0, backLimitMs);
    // The wall clock, as leases go by it.
    await new Promise((resolve) => setTimeout(resolve, ttlMs + 1_000));
    await server.restart();
    // A server that comes back gives each lease its whole time again, and we are back before that.
    const seen = new Set<string | undefined>();
    for (let look = 0; look < 40; look++) {
      seen.add(await leaseOf(server));
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect([...seen]).toEqual([lease]);
    await registration[Symbol.asyncDispose]();
    expect(await leaseOf(server)).toBeUndefined();
  });
});

/** The lease under which the instance's key is; "0" without one, undefined when it is not there. */
async function leaseOf(server: EtcdServer): Promise<string | undefined> {
  const [entry] = await entriesUnder(server, "orders/");
  return entry?.lease;
}

async function leaseAfter(
  server: EtcdServer,
  condition: (lease: string | undefined) => boolean,
): Promise<string | undefined> {
  const startedAt = performance.now();
  for (;;) {
    const lease = await leaseOf(server);
    if (condition(lease)) return lease;
    if (performance.now() - startedAt > backLimitMs) throw new Error(`the lease is still ${lease}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
