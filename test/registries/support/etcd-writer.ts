/** Writes to etcd and reads from it through its JSON gateway, past our own client. */
import { base64, type EtcdServer } from "./etcd-server.ts";

/** What a writer needs of a server. */
export type Gateway = Pick<EtcdServer, "call">;

export async function put(server: Gateway, key: string, value: string): Promise<void> {
  await server.call("kv/put", { key: base64(key), value: base64(value) });
}

export async function remove(server: Gateway, key: string): Promise<void> {
  await server.call("kv/deleterange", { key: base64(key) });
}

/** Puts an instance as Go's naming package does. */
export async function putInstance(server: Gateway, service: string, address: string): Promise<void> {
  await put(server, `${service}/${address}`, JSON.stringify({ Op: 0, Addr: address, Metadata: null }));
}

/** Puts many in a few transactions of 128 changes, the most that etcd takes by default. */
export async function putMany(
  server: Gateway,
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
  server: Gateway,
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
export async function compact(server: Gateway): Promise<void> {
  const { header } = (await server.call("kv/range", { key: base64("x") })) as {
    header: { revision: string };
  };
  await server.call("kv/compaction", { revision: header.revision, physical: true });
}

/** One of very many instances of `orders`, by number. */
export function instanceEntry(index: number, weight: number): readonly [key: string, value: string] {
  const address = `10.${Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${(index % 250) + 1}:80`;
  return [`orders/${address}`, JSON.stringify({ Op: 0, Addr: address, Metadata: { weight } })];
}
