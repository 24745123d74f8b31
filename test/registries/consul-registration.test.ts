/** Registrations with a real Consul: heartbeats, operators, tokens that end. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { consul } from "../../src/discovery/consul.ts";
import { consulSubject } from "./subjects/consul.ts";
import { describeWith } from "./support/describe-with.ts";
import { type ConsulServer, startConsul } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

const instance = { service: "orders", id: "orders:1", address: "http://10.0.0.1:80", weight: 3, zone: "b" };
const own = { address: "10.0.0.1:80", weight: 3, zone: "b" };
/** The shortest TTL with which a heartbeat, every 0.7 s, may come late on a busy machine. */
const ttlMs = 2_000;

function createContext() {
  const errors: string[] = [];
  const report = (error: unknown): void => void errors.push((error as Error).message);
  return { errors, context: { service: "orders", signal: new AbortController().signal, report } };
}

/** A token that may read and write services, and the policy that lets it. */
async function createToken(server: ConsulServer, name: string): Promise<{ id: string; accessor: string }> {
  const Rules = 'service_prefix "" { policy = "write" } node_prefix "" { policy = "read" }';
  await server.call("PUT", "/v1/acl/policy", { Name: name, Rules });
  const answer = await server.call("PUT", "/v1/acl/token", { Policies: [{ Name: name }] });
  const { SecretID, AccessorID } = JSON.parse(answer) as { SecretID: string; AccessorID: string };
  return { id: SecretID, accessor: AccessorID };
}

describeWith(["consul"], "registrations with Consul", () => {
  it("outlive their TTL by heartbeats, come back from an operator's deregistration, and leave nothing", async () => {
    await using server = await startConsul();
    const client = consul({ address: server.url, ttlMs });
    await using set = new WatchedSet(client, "orders", consulSubject);
    await set.untilExactly([]);
    const { errors, context } = createContext();
    const registration = await client.register(instance, context);
    await set.untilExactly([own]);
    // The wall clock: Consul's TTL runs by it.
    await sleep(2 * ttlMs);
    expect(set.snapshots).toHaveLength(2);
    await server.call("PUT", `/v1/agent/service/deregister/${instance.id}`);
    await set.untilExactly([]);
    await set.untilExactly([own]);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain("is not known any more, and is registered again");
    await registration[Symbol.asyncDispose]();
    await set.untilExactly([]);
    expect(JSON.parse(await server.call("GET", "/v1/agent/checks"))).toEqual({});
  });

  it("are still healthy when the agent restarts right after they began", async () => {
    await using server = await startConsul();
    // No second heartbeat comes while this test looks.
    const client = consul({ address: server.url, ttlMs: 600_000 });
    const { context } = createContext();
    const registration = await client.register(instance, context);
    await using before = new WatchedSet(client, "orders", consulSubject);
    await before.untilExactly([own]);
    // The first heartbeat leaves a trace in the agent's folder only; it follows the registration at once.
    await sleep(200);
    await server.restart();
    await using after = new WatchedSet(client, "orders", consulSubject);
    await after.untilExactly([own]);
    await registration[Symbol.asyncDispose]();
  });

  it("go critical when their process is gone, and are taken out", async () => {
    await using server = await startConsul();
    const client = consul({ address: server.url, ttlMs });
    const gone = new AbortController();
    await client.register(instance, { ...createContext().context, signal: gone.signal });
    await using set = new WatchedSet(client, "orders", consulSubject);
    await set.untilExactly([own]);
    gone.abort();
    await set.untilExactly([]);
    const checks = await readChecks(server);
    expect(checks[`service:${instance.id}`]?.Status).toBe("critical");
  });

  it("go on with another token when theirs has ended", async () => {
    await using server = await startConsul({ managementToken: randomUUID() });
    let token = await createToken(server, "first");
    const client = consul({ address: server.url, ttlMs, token: () => token.id });
    const { errors, context } = createContext();
    const registration = await client.register(instance, context);
    await using set = new WatchedSet(client, "orders", consulSubject);
    await set.untilExactly([own]);
    const old = token;
    await server.call("DELETE", `/v1/acl/token/${old.accessor}`);
    await expect.poll(() => errors.length, { timeout: 15_000 }).toBeGreaterThan(0);
    expect(errors[0]).toMatch(/could not send its heartbeat: answered 403/);
    token = await createToken(server, "second");
    await sleep(2 * ttlMs);
    await set.untilExactly([own]);
    await registration[Symbol.asyncDispose]();
    await set.untilExactly([]);
  });

  // A query that waits is not woken by it, so that this shows with the next one.
  it("stay seen by those whose token may not read them any more", async () => {
    await using server = await startConsul({ managementToken: randomUUID() });
    const { id } = await createToken(server, "reader");
    await server.call("PUT", "/v1/agent/service/register", { Name: "orders", Address: "10.0.0.1", Port: 80 });
    await using set = new WatchedSet(
      consul({ address: server.url, token: id, waitMs: 2_000 }),
      "orders",
      consulSubject,
    );
    await set.untilExactly([{ address: "10.0.0.1:80", zone: undefined as never }]);
    const { ID } = JSON.parse(await server.call("GET", "/v1/acl/policy/name/reader")) as { ID: string };
    await server.call("PUT", `/v1/acl/policy/${ID}`, { ID, Name: "reader", Rules: "" });
    await server.call("PUT", "/v1/agent/service/register", {
      Name: "orders",
      ID: "2",
      Address: "10.0.0.2",
      Port: 80,
    });
    await set.untilError(0);
    expect(String(set.errors[0])).toContain("filtered by ACLs");
    expect(set.snapshots).toHaveLength(1);
  });
});

interface AgentCheck {
  readonly Status: string;
}

async function readChecks(server: ConsulServer): Promise<Readonly<Record<string, AgentCheck>>> {
  return JSON.parse(await server.call("GET", "/v1/agent/checks")) as Readonly<Record<string, AgentCheck>>;
}
