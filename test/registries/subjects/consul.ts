/** Consul with access control: instances are put through the agent's HTTP API, as a foreign client would. */
import { randomUUID } from "node:crypto";
import { consul } from "../../../src/discovery/consul.ts";
import { type ConsulServer, startConsul } from "../support/servers.ts";
import type { RunningSubject, Subject } from "../support/subject.ts";
import { hostOf } from "./host.ts";

const service = "orders";

export const consulSubject: Subject = {
  name: "Consul",
  needs: ["consul"],
  facts: {
    hasWeights: true,
    hasZones: true,
    tellsEmpty: true,
    pushesWithinMs: 0,
    takesRegistrations: true,
    hasTokens: true,
  },
  start: startSubject,
};

async function startSubject(): Promise<RunningSubject> {
  const managementToken = randomUUID();
  const server = await startConsul({ managementToken });
  let token = await createToken(server);
  const client = () => consul({ address: server.url, token: () => token, ttlMs: 6_000 });
  const register = (instance: object) =>
    server.call("PUT", "/v1/agent/service/register", { Name: service, ...instance });
  return {
    service,
    source: client,
    registry: client,
    async put(instances) {
      for (const { address, weight = 1, zone } of instances) {
        const { host, port } = hostOf(address);
        await register({
          ID: address,
          Address: host,
          Port: port,
          Weights: { Passing: weight, Warning: 1 },
          ...(zone === undefined ? {} : { Meta: { zone } }),
        });
      }
    },
    async remove(addresses) {
      for (const address of addresses) {
        await server.call("PUT", `/v1/agent/service/deregister/${encodeURIComponent(address)}`);
      }
    },
    async putBad() {
      const bad = [
        { ID: "no-host", Address: "not a host", Port: 80 },
        { ID: "no-port", Address: "10.0.0.1" },
        { ID: "path", Address: "10.0.0.1/orders", Port: 80 },
      ];
      for (const each of bad) await register(each);
      return bad.length;
    },
    async expireToken() {
      const old = JSON.parse(await server.call("GET", "/v1/acl/tokens")) as {
        AccessorID: string;
        Description: string;
      }[];
      // First the new one, as whoever renews a token in time does.
      token = await createToken(server);
      for (const { AccessorID, Description } of old) {
        if (Description === service) await server.call("DELETE", `/v1/acl/token/${AccessorID}`);
      }
    },
    kill: () => server.kill(),
    restart: () => server.restart(),
    async wipe() {
      await server.wipe();
      token = await createToken(server);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A token that may do what a client has to: see nodes and services, and write services. */
async function createToken(server: ConsulServer): Promise<string> {
  const policies = await server.call("GET", "/v1/acl/policies");
  if (!policies.includes(`"${service}"`)) {
    const Rules = 'service_prefix "" { policy = "write" } node_prefix "" { policy = "read" }';
    await server.call("PUT", "/v1/acl/policy", { Name: service, Rules });
  }
  const answer = await server.call("PUT", "/v1/acl/token", {
    Description: service,
    Policies: [{ Name: service }],
  });
  return (JSON.parse(answer) as { SecretID: string }).SecretID;
}
