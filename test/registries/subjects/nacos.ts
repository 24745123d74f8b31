/** An r-nacos with users: instances are put through Nacos' HTTP API, as a foreign client would. */
import { setTimeout as sleep } from "node:timers/promises";
import { nacos } from "../../../src/discovery/nacos.ts";
import { startNacos } from "../support/servers.ts";
import type { PutInstance, RunningSubject, Subject } from "../support/subject.ts";
import { hostOf } from "./host.ts";

const service = "orders";
const auth = { username: "keel", password: "the password" };
const tokenTtlSeconds = 3;

export const nacosSubject: Subject = {
  name: "Nacos (r-nacos)",
  needs: ["rnacos"],
  facts: {
    hasWeights: true,
    hasZones: true,
    tellsEmpty: true,
    // naming_delay_nofity.rs: each change waits 500 ms for others, and is looked for every 500 ms.
    pushesWithinMs: 1_000,
    takesRegistrations: true,
    hasTokens: true,
  },
  start: startSubject,
};

async function startSubject(): Promise<RunningSubject> {
  const server = await startNacos({ auth: { ...auth, tokenTtlSeconds } });
  const client = () => nacos({ servers: server.address, auth });
  /** What foreign clients keep announced: like Nacos' own they announce it again to a server that was away. */
  const announced = new Map<string, PutInstance>();
  const write = (method: string, parameters: Readonly<Record<string, string>>) =>
    server.call(method, "/nacos/v1/ns/instance", { serviceName: service, ephemeral: "true", ...parameters });
  const announce = ({ address, weight = 1, zone }: PutInstance) => {
    const { host, port } = hostOf(address);
    const metadata = JSON.stringify(zone === undefined ? {} : { zone });
    return write("POST", { ip: host, port: String(port), weight: String(weight), metadata });
  };
  return {
    service,
    source: client,
    registry: client,
    async put(instances) {
      for (const each of instances) {
        announced.set(each.address, each);
        await announce(each);
      }
    },
    async remove(addresses) {
      for (const address of addresses) {
        announced.delete(address);
        const { host, port } = hostOf(address);
        await write("DELETE", { ip: host, port: String(port) });
      }
    },
    async putBad() {
      const bad = ["not a host", "10.0.0.1/orders"];
      for (const ip of bad) await write("POST", { ip, port: "8080" });
      return bad.length;
    },
    // The wall clock: Nacos takes no token back, they only end.
    expireToken: () => sleep(1_000 * (tokenTtlSeconds + 1)),
    kill: () => server.kill(),
    async restart() {
      await server.restart();
      for (const each of announced.values()) await announce(each);
    },
    async wipe() {
      announced.clear();
      await server.wipe();
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
