/** The demo's nodes in a real etcd: each is registered, and etcd is killed in the middle of the run. */
import { etcd } from "../../discovery/etcd.ts";
import { type Registration, register } from "../../server/index.ts";
import type { Directory } from "./directory.ts";
import { EtcdServer } from "./etcd-server.ts";

/** How long an instance may take to be in etcd: it reconnects with pauses of up to 5 s. */
const registeredLimitMs = 20_000;

/** @param binary of etcd. @throws Error when it does not start. */
export async function etcdDirectory(binary: string): Promise<Directory> {
  const server = await EtcdServer.start(binary);
  const registry = etcd({ endpoints: [server.address] });
  const registrations = new Map<string, Registration>();
  let story = `The nodes are registered in etcd (process ${server.pids[0]}).`;
  return {
    discovery: registry,
    get story() {
      return story;
    },
    pids: server.pids,
    async publish(addresses) {
      for (const address of addresses) {
        if (registrations.has(address)) continue;
        const { hostname, port } = new URL(address);
        // On behalf of the process that serves there: it should stay announced when it is killed.
        const place = { address: hostname, port: Number(port), family: "IPv4" };
        const options = { registry, service: "orders", server: { address: () => place } };
        registrations.set(address, register({ ...options, drainMs: 0, deregisterMs: 1_000 }));
      }
      const all = [...registrations.values()];
      await Promise.all(all.map((registration) => registration.ready({ timeoutMs: registeredLimitMs })));
    },
    async die() {
      story = "etcd was killed (SIGKILL), too.";
      await server.kill();
    },
    async comeBack() {
      await server.launch();
      story = `etcd is started again (process ${server.pids.at(-1)}).`;
    },
    async close() {
      await Promise.all([...registrations.values()].map((registration) => registration.close()));
      await server.kill();
    },
  };
}
