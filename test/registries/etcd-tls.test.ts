/** An etcd that is reached over TLS, and asks its clients for a certificate. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type EtcdTls, etcd } from "../../src/discovery/etcd.ts";
import { createAuthority } from "../support/certificates.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import { findFreePort } from "./support/free-port.ts";
import { ServerProcess } from "./support/server-process.ts";
import { WatchedSet } from "./support/watched-set.ts";

describeEtcd("etcd over TLS", (binary) => {
  it("is trusted by its certificate's name and trusts ours, and nobody else is or does", async () => {
    await using stack = new AsyncDisposableStack();
    const authority = stack.use(await createAuthority());
    const stranger = stack.use(await createAuthority("Somebody else"));
    const { ca } = authority;
    const server = await startSecure(stack, binary, ca, await authority.issue({ names: ["etcd.internal"] }));
    const client = await authority.issue({ names: ["orders.internal"] });
    const servername = "etcd.internal";
    const endpoints = `https://${server.address}`;

    const good = etcd({ endpoints, tls: { ca, ...client, servername } });
    const orders = stack.use(new WatchedSet(good, "orders", etcdSubject));
    await orders.untilExactly([]);
    const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
    const registration = await good.register(
      { service: "orders", id: "one", address: "http://10.0.0.1:80" },
      context,
    );
    await orders.untilExactly([{ address: "10.0.0.1:80" }]);
    await registration[Symbol.asyncDispose]();
    await orders.untilExactly([]);
    expect(orders.errors).toEqual([]);

    const bad: Readonly<Record<string, EtcdTls>> = {
      "without a certificate": { ca, servername },
      "with a stranger's certificate": {
        ca,
        servername,
        ...(await stranger.issue({ names: ["orders.internal"] })),
      },
      "of an unknown authority": { ca: stranger.ca, servername, ...client },
      "by another name": { ca, ...client },
    };
    for (const [what, tls] of Object.entries(bad)) {
      const refused = stack.use(new WatchedSet(etcd({ endpoints, tls }), "orders", etcdSubject));
      await refused.untilError(0);
      expect([what, refused.updates, String(refused.errors[0])]).toEqual([
        what,
        0,
        expect.stringContaining(server.address),
      ]);
    }
  });
});

async function startSecure(
  stack: AsyncDisposableStack,
  binary: string,
  ca: string,
  { cert, key }: { readonly cert: string; readonly key: string },
): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-etcd-tls-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  for (const [name, pem] of Object.entries({ ca, cert, key }))
    await writeFile(join(folder, `${name}.pem`), pem);
  const [client, peer, metrics] = [await findFreePort(), await findFreePort(), await findFreePort()];
  const health = `http://127.0.0.1:${metrics}`;
  const server = await ServerProcess.start(`127.0.0.1:${client}`, {
    name: "etcd",
    binary,
    launch: (dataDir) => ({
      args: [
        `--data-dir=${dataDir}`,
        `--listen-client-urls=https://127.0.0.1:${client}`,
        `--advertise-client-urls=https://127.0.0.1:${client}`,
        `--listen-peer-urls=http://127.0.0.1:${peer}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
        `--initial-cluster=default=http://127.0.0.1:${peer}`,
        `--listen-metrics-urls=${health}`,
        `--cert-file=${join(folder, "cert.pem")}`,
        `--key-file=${join(folder, "key.pem")}`,
        `--trusted-ca-file=${join(folder, "ca.pem")}`,
        "--client-cert-auth",
        "--log-level=error",
      ],
    }),
    isReady: async () =>
      ((await (await fetch(`${health}/health`)).json()) as { health: string }).health === "true",
  });
  return stack.use(server);
}
