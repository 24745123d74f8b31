/** An etcd with instances as Go's official package writes them, put through the JSON gateway. */
import { etcd } from "../../../src/discovery/etcd.ts";
import { base64, findServer, startEtcd } from "../support/servers.ts";
import type { RunningSubject, Subject } from "../support/subject.ts";

const service = "orders";
const root = { username: "root", password: "the password" };

/** The etcd of now, with users: tokens expire, and none outlives its server. */
export const etcdSubject: Subject = {
  name: "etcd",
  needs: ["etcd"],
  facts: {
    hasWeights: true,
    hasZones: true,
    tellsEmpty: true,
    pushesWithinMs: 0,
    takesRegistrations: true,
    hasTokens: true,
  },
  start: () => startSubject({ hasUsers: true }),
};

/** Debian's, the oldest that is in wide use. */
export const oldEtcdSubject: Subject = {
  ...etcdSubject,
  name: "etcd 3.4",
  needs: ["etcd-debian"],
  facts: { ...etcdSubject.facts, hasTokens: false },
  start: () => startSubject({ binary: findServer("etcd-debian"), hasUsers: false }),
};

async function startSubject({
  binary,
  hasUsers,
}: {
  readonly binary?: string | undefined;
  readonly hasUsers: boolean;
}): Promise<RunningSubject> {
  const server = await startEtcd({
    ...(binary === undefined ? {} : { binary }),
    ...(hasUsers ? { auth: { user: root.username, password: root.password } } : {}),
  });
  const client = () => etcd({ endpoints: server.address, ttlMs: 6_000, ...(hasUsers ? { auth: root } : {}) });
  const put = (key: string, value: string) =>
    server.call("kv/put", { key: base64(`${service}/${key}`), value: base64(value) });
  return {
    service,
    source: client,
    registry: client,
    async put(instances) {
      for (const { address, weight, zone } of instances) {
        await put(address, JSON.stringify({ Op: 0, Addr: address, Metadata: { weight, zone } }));
      }
    },
    async remove(addresses) {
      for (const address of addresses) {
        await server.call("kv/deleterange", { key: base64(`${service}/${address}`) });
      }
    },
    async putBad() {
      const bad = ["", "no JSON", "[1]", '{"Op":0}', '{"Op":0,"Addr":"http://","Metadata":null}'];
      for (const [index, value] of bad.entries()) await put(`bad${index}`, value);
      return bad.length;
    },
    ...(hasUsers ? { expireToken: () => expireTokens(server) } : {}),
    kill: () => server.kill(),
    restart: () => server.restart(),
    wipe: () => server.wipe(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A changed password ends all tokens of its user, and "changed" does not ask whether it is another. */
async function expireTokens(server: Awaited<ReturnType<typeof startEtcd>>): Promise<void> {
  await server.call("auth/user/changepw", { name: root.username, password: root.password });
}
