/** Declares tests over each etcd that is there, the current one and Debian's, and writes to one past our own client. */
import { describe, it } from "vitest";
import { missingServers, mustHaveServers } from "./required.ts";
import { base64, type EtcdServer, findServer } from "./servers.ts";

/** By the names of `findServer`. */
export type EtcdBinary = "etcd" | "etcd-debian";

const bothBinaries: readonly EtcdBinary[] = ["etcd", "etcd-debian"];

/**
 * Declares a suite for each of `binaries`. Where something is missing the suite's name says so and it counts as
 * skipped, or fails when EVENKEEL_REQUIRE_SERVERS is 1.
 *
 * @param needs further programs, by the names of `findServer`.
 */
export function describeEtcd(
  name: string,
  body: (binary: string) => void,
  {
    binaries = bothBinaries,
    needs = [],
  }: { binaries?: readonly EtcdBinary[]; needs?: readonly string[] } = {},
): void {
  for (const each of binaries) {
    const missing = missingServers([each, ...needs]);
    if (missing.length === 0) {
      describe(`${name} (${each})`, () => body(findServer(each) as string));
      continue;
    }
    describe(`${name} (${each}; there is no ${missing.join(" and no ")}: run scripts/servers)`, () => {
      if (mustHaveServers) it("runs", () => Promise.reject(new Error(`missing: ${missing.join(", ")}`)));
      else it.skip("runs", () => {});
    });
  }
}

export async function put(server: EtcdServer, key: string, value: string): Promise<void> {
  await server.call("kv/put", { key: base64(key), value: base64(value) });
}

export async function remove(server: EtcdServer, key: string): Promise<void> {
  await server.call("kv/deleterange", { key: base64(key) });
}

/** Puts an instance as Go's naming package does. */
export async function putInstance(server: EtcdServer, service: string, address: string): Promise<void> {
  await put(server, `${service}/${address}`, JSON.stringify({ Op: 0, Addr: address, Metadata: null }));
}

/** Puts many in a few transactions of 128 changes, the most that etcd takes by default. */
export async function putMany(
  server: EtcdServer,
  entries: readonly (readonly [key: string, value: string])[],
): Promise<void> {
  for (let at = 0; at < entries.length; at += 128) {
    const success = entries
      .slice(at, at + 128)
      .map(([key, value]) => ({ requestPut: { key: base64(key), value: base64(value) } }));
    await server.call("kv/txn", { success });
  }
}

/** The keys under a prefix, with the values and leases. */
export async function entriesUnder(
  server: EtcdServer,
  prefix: string,
): Promise<readonly { readonly key: string; readonly value: string; readonly lease: string }[]> {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) as number) + 1;
  const { kvs = [] } = (await server.call("kv/range", {
    key: base64(prefix),
    range_end: end.toString("base64"),
  })) as { kvs?: readonly { key: string; value?: string; lease?: string }[] };
  const text = (encoded: string): string => Buffer.from(encoded, "base64").toString();
  return kvs.map(({ key, value = "", lease = "0" }) => ({ key: text(key), value: text(value), lease }));
}

/** Throws away all history up to now. */
export async function compact(server: EtcdServer): Promise<void> {
  const { header } = (await server.call("kv/range", { key: base64("x") })) as {
    header: { revision: string };
  };
  await server.call("kv/compaction", { revision: header.revision, physical: true });
}
