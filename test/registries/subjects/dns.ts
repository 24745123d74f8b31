/** A dnsmasq with address records, or with SRV records whose targets have address records. */
import { dns } from "../../../src/discovery/dns.ts";
import { type DnsRecords, startDnsmasq } from "../support/servers.ts";
import type { PutInstance, RunningSubject, Subject } from "../support/subject.ts";
import { hostOf } from "./host.ts";

export const addressSubject: Subject = subject("A");
export const serviceRecordSubject: Subject = subject("SRV");

function subject(type: "A" | "SRV"): Subject {
  return {
    name: `DNS, ${type} records`,
    needs: ["dnsmasq"],
    facts: {
      hasWeights: type === "SRV",
      hasZones: false,
      tellsEmpty: false,
      pushesWithinMs: undefined,
      takesRegistrations: false,
      hasTokens: false,
    },
    start: () => startSubject(type),
  };
}

async function startSubject(type: "A" | "SRV"): Promise<RunningSubject> {
  const server = await startDnsmasq({ ttlSeconds: 0 });
  const name = type === "SRV" ? "_http._tcp.orders.test" : "orders.test";
  let instances = new Map<string, PutInstance>();
  /** Targets that have no address. */
  let bad: readonly string[] = [];
  let publishing: Promise<void> | undefined;

  /** What was written while the server restarted is published at once afterwards. */
  const publish = (): Promise<void> => {
    publishing ??= (async () => {
      // The others of this moment are to be in it.
      await Promise.resolve();
      const records = type === "A" ? addressRecords(name, instances) : serviceRecords(name, instances, bad);
      try {
        await server.publish(records);
      } finally {
        publishing = undefined;
      }
    })();
    return publishing;
  };
  /** A change during a restart needs another one. */
  const change = async (apply: () => void): Promise<void> => {
    await publishing;
    apply();
    await publish();
  };
  return {
    service: name,
    source: () =>
      dns({
        ...(type === "A" ? { port: 8080 } : { type }),
        servers: [server.address],
        minRefreshMs: 100,
        // A dead server of this machine refuses at once; what is lost in a restart should not cost seconds.
        timeoutMs: 300,
      }),
    registry: () => undefined,
    put: (added) =>
      change(() => {
        for (const each of added) instances.set(each.address, each);
      }),
    remove: (addresses) =>
      change(() => {
        for (const each of addresses) instances.delete(each);
      }),
    async putBad() {
      if (type === "A") return 0;
      await change(() => {
        bad = ["nowhere.test"];
      });
      return bad.length;
    },
    kill: () => server.kill(),
    restart: () => server.restart(),
    wipe: () =>
      change(() => {
        instances = new Map();
        bad = [];
      }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function addressRecords(name: string, instances: ReadonlyMap<string, PutInstance>): DnsRecords {
  return { hosts: { [name]: [...instances.keys()].map((address) => hostOf(address).host) } };
}

function serviceRecords(
  name: string,
  instances: ReadonlyMap<string, PutInstance>,
  bad: readonly string[],
): DnsRecords {
  const places = [...instances.values()].map(({ address, weight = 1 }) => {
    const { host, port } = hostOf(address);
    return { host, port, weight, target: `i${host.replaceAll(".", "-")}-${port}.test` };
  });
  return {
    hosts: Object.fromEntries(places.map(({ target, host }) => [target, [host]])),
    services: { [name]: [...places, ...bad.map((target) => ({ target, port: 8080, weight: 1 }))] },
  };
}
