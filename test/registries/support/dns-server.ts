/** Starts dnsmasq as a name server that knows a few records and asks nobody. */
import { Resolver } from "node:dns/promises";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findServer } from "./find-server.ts";
import { findFreePort } from "./free-port.ts";
import { type RegistryServer, ServerProcess } from "./server-process.ts";

/** Names, which end in `.test`, to what they stand for. */
export interface DnsRecords {
  /** Addresses of IPv4 and IPv6: A and AAAA records. */
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
  readonly services?: Readonly<Record<string, readonly SrvRecord[]>>;
}

export interface SrvRecord {
  readonly target: string;
  readonly port: number;
  /** Default 0. */
  readonly priority?: number;
  /** Default 0. */
  readonly weight?: number;
}

export interface DnsServer extends RegistryServer {
  /** Answers with exactly these from now on. It restarts for that, as dnsmasq reads SRV records only at its start. */
  publish(records: DnsRecords): Promise<void>;
}

/** @param ttlSeconds what each A and AAAA record says. Default 1. */
export async function startDnsmasq({
  binary = findServer("dnsmasq"),
  ttlSeconds = 1,
}: {
  readonly binary?: string;
  readonly ttlSeconds?: number;
} = {}): Promise<DnsServer> {
  if (binary === undefined) throw new Error("there is no dnsmasq: run scripts/servers");
  const port = await findFreePort();
  const resolver = new Resolver({ timeout: 200, tries: 1 });
  resolver.setServers([`127.0.0.1:${port}`]);
  let records: DnsRecords = {};
  const server = await ServerProcess.start(`127.0.0.1:${port}`, {
    name: "dnsmasq",
    binary,
    launch(dataDir) {
      const hostsFile = join(dataDir, "hosts");
      writeFileSync(hostsFile, hostsText(records));
      const services = Object.entries(records.services ?? {}).flatMap(([name, targets]) =>
        targets.map(
          ({ target, port: at, priority = 0, weight = 0 }) =>
            `--srv-host=${name},${target},${at},${priority},${weight}`,
        ),
      );
      return {
        args: [
          // In the foreground, and without a process for each TCP connection, which would outlive a killed server and
          // hold its port.
          "--no-daemon",
          "--conf-file=/dev/null",
          "--no-resolv",
          "--no-hosts",
          `--addn-hosts=${hostsFile}`,
          // Of its own domain it knows all: what has no record there does not exist.
          "--local=/test/",
          `--local-ttl=${ttlSeconds}`,
          `--port=${port}`,
          "--listen-address=127.0.0.1",
          "--bind-interfaces",
          ...services,
        ],
      };
    },
    isReady: async () => (await resolver.resolve4("ready.test")).length === 1,
  });
  return Object.assign(server, {
    async publish(next: DnsRecords): Promise<void> {
      records = next;
      await server.restart();
    },
    async wipe(): Promise<void> {
      records = {};
      await server.restart();
    },
  });
}

/** One line for each address, as in /etc/hosts; `ready.test` tells that it serves. */
function hostsText({ hosts = {} }: DnsRecords): string {
  const lines = Object.entries(hosts).flatMap(([name, addresses]) =>
    addresses.map((address) => `${address} ${name}`),
  );
  return ["127.0.0.1 ready.test", ...lines, ""].join("\n");
}
