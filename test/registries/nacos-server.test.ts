/** What a real Nacos server makes of our registrations, of operators' changes, and of tokens that end. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { nacos } from "../../src/discovery/nacos.ts";
import { describeWith } from "./support/describe-with.ts";
import { type NacosServer, startNacos } from "./support/servers.ts";
import type { Subject } from "./support/subject.ts";
import { WatchedSet } from "./support/watched-set.ts";

const facts = { hasWeights: true, hasZones: true } as Subject["facts"];
const subject = { facts } as Subject;
const recoveryLimitMs = 40_000;

function createContext() {
  const errors: string[] = [];
  const controller = new AbortController();
  const report = (error: unknown): void => void errors.push((error as Error).message);
  return { errors, context: { service: "orders", signal: controller.signal, report } };
}

const instance = (number: number, weight = 1) => ({
  service: "orders",
  id: `orders:${number}`,
  address: `http://10.0.0.${number}:8080`,
  weight,
  zone: "b",
});
const at = (number: number, weight = 1) => ({ address: `10.0.0.${number}:8080`, weight, zone: "b" });

/** As an operator changes an instance in the console. */
function change(
  server: NacosServer,
  number: number,
  fields: Readonly<Record<string, string>>,
): Promise<string> {
  const metadata = JSON.stringify({ zone: "b" });
  const place = { serviceName: "orders", ip: `10.0.0.${number}`, port: "8080", ephemeral: "true", metadata };
  return server.call("PUT", "/nacos/v1/ns/instance", { ...place, ...fields });
}

describeWith(["rnacos"], "Nacos", () => {
  it("shows several instances of ours, each with its weight, until they are taken out", async () => {
    await using server = await startNacos();
    const client = nacos({ servers: server.address });
    await using set = new WatchedSet(client, "orders", subject);
    await set.untilExactly([]);
    const { errors, context } = createContext();
    const registrations = [];
    for (const [number, weight] of [
      [1, 1],
      [2, 0.5],
      [3, 30],
    ] as const) {
      registrations.push(await client.register(instance(number, weight), context));
    }
    await set.untilExactly([at(1), at(2, 0.5), at(3, 30)]);
    await registrations[1]?.[Symbol.asyncDispose]();
    await set.untilExactly([at(1), at(3, 30)]);
    // Longer than the server lets a connection be without a sign of life.
    await sleep(20_000);
    expect([set.present, errors]).toEqual([set.describe([at(1), at(3, 30)]), []]);
    for (const each of registrations) await each[Symbol.asyncDispose]();
    await set.untilExactly([]);
  }, 60_000);

  it("has an operator take an instance out of service and give it another weight", async () => {
    await using server = await startNacos();
    const client = nacos({ servers: server.address });
    await using set = new WatchedSet(client, "orders", subject);
    const { context } = createContext();
    const one = await client.register(instance(1), context);
    const two = await client.register(instance(2), context);
    await set.untilExactly([at(1), at(2)]);
    await change(server, 1, { enabled: "false" });
    await set.untilExactly([at(2)]);
    await change(server, 1, { enabled: "true", weight: "7" });
    await set.untilExactly([at(1, 7), at(2)]);
    await change(server, 1, { weight: "0" });
    await set.untilExactly([at(2)]);
    for (const each of [one, two]) await each[Symbol.asyncDispose]();
  });

  it("keeps groups, namespaces and clusters apart", async () => {
    await using server = await startNacos();
    const client = (options: object) => nacos({ servers: server.address, ...options });
    const { context } = createContext();
    const kept = [
      await client({}).register(instance(1), context),
      await client({ group: "blue" }).register(instance(2), context),
      await client({ namespace: "dev" }).register(instance(3), context),
      await client({ clusters: "north" }).register(instance(4), context),
    ];
    for (const [options, seen] of [
      [{}, [at(1), at(4)]],
      [{ group: "blue" }, [at(2)]],
      [{ namespace: "dev" }, [at(3)]],
      [{ clusters: ["north"] }, [at(4)]],
      [{ clusters: ["DEFAULT"] }, [at(1)]],
    ] as const) {
      await using set = new WatchedSet(client(options), "orders", subject);
      await set.untilExactly(seen);
    }
    // Servers do not filter every push.
    await using north = new WatchedSet(client({ clusters: "north" }), "orders", subject);
    await north.untilExactly([at(4)]);
    kept.push(await client({ clusters: "north" }).register(instance(5), context));
    kept.push(await client({}).register(instance(6), context));
    await north.untilExactly([at(4), at(5)]);
    expect(north.snapshots).toEqual([north.describe([at(4)]), north.describe([at(4), at(5)])]);
    for (const each of kept) await each[Symbol.asyncDispose]();
  });

  it("has what was killed and what was wiped registered again, and no more than that", async () => {
    await using server = await startNacos();
    const client = nacos({ servers: server.address });
    const { errors, context } = createContext();
    const registrations = [
      await client.register(instance(1), context),
      await client.register(instance(2), context),
    ];
    await using set = new WatchedSet(client, "orders", subject);
    await set.untilExactly([at(1), at(2)]);
    for (const disaster of ["restart", "wipe"] as const) {
      const { length: before } = errors;
      await server[disaster]();
      await using after = new WatchedSet(nacos({ servers: server.address }), "orders", subject);
      await after.untilExactly([at(1), at(2)], recoveryLimitMs);
      expect(errors.length).toBeGreaterThan(before);
    }
    for (const each of registrations) await each[Symbol.asyncDispose]();
    await set.untilExactly([], recoveryLimitMs);
  }, 120_000);

  it("takes a registration, and lets a set be watched, after the token has expired", async () => {
    const auth = { username: "keel", password: "the password" };
    await using server = await startNacos({ auth: { ...auth, tokenTtlSeconds: 2 } });
    const client = nacos({ servers: server.address, auth });
    await using set = new WatchedSet(client, "orders", subject);
    await set.untilExactly([]);
    const { errors, context } = createContext();
    for (const number of [1, 2]) {
      // The wall clock: the server's.
      await sleep(3_000);
      await client.register(instance(number), context);
    }
    await set.untilExactly([at(1), at(2)]);
    await using anew = new WatchedSet(client, "orders", subject);
    await anew.untilExactly([at(1), at(2)]);
    expect([errors, set.errors]).toEqual([[], []]);

    const wrong = nacos({ servers: server.address, auth: { ...auth, password: "wrong" } });
    await using refused = new WatchedSet(wrong, "orders", subject);
    await refused.untilError(0);
    expect(String(refused.errors[0])).toContain("the login failed");
    expect(String(refused.errors[0])).not.toContain("wrong");
  }, 60_000);
});
