/** A Consul that is reached over TLS, and asks its clients for a certificate. */
import { once } from "node:events";
import { request } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { type ConsulTlsOptions, consul } from "../../src/discovery/consul.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { consulSubject } from "./subjects/consul.ts";
import { describeWith } from "./support/describe-with.ts";
import { type ConsulServer, startConsul } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

const servername = "consul.internal";

/** TLS before an agent, as many run it; gives the `https:` address. */
async function startTlsBefore(
  server: ConsulServer,
  authority: Authority,
  stack: AsyncDisposableStack,
): Promise<string> {
  const own = await authority.issue({ names: [servername] });
  const proxy = createServer({ ...own, ca: authority.ca, requestCert: true }, (incoming, response) => {
    const { method, url, headers } = incoming;
    const outgoing = request(`${server.url}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on("error", () => response.destroy());
    response.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  }).listen(0, "127.0.0.1");
  stack.defer(() => proxy.closeAllConnections());
  stack.defer(() => void proxy.close());
  await once(proxy, "listening");
  return `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
}

describeWith(["consul"], "Consul over TLS", () => {
  it("is trusted by its certificate's name and trusts ours, and nobody else is or does", async () => {
    await using stack = new AsyncDisposableStack();
    const authority = stack.use(await createAuthority());
    const stranger = stack.use(await createAuthority("Somebody else"));
    const server = stack.use(await startConsul());
    const address = await startTlsBefore(server, authority, stack);
    const { ca } = authority;
    const client = await authority.issue({ names: ["orders.internal"] });

    const good = consul({ address, tls: { ca, ...client, servername } });
    const orders = stack.use(new WatchedSet(good, "orders", consulSubject));
    await orders.untilExactly([]);
    const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
    const instance = { service: "orders", id: "one", address: "http://10.0.0.1:80" };
    const registration = await good.register(instance, context);
    await orders.untilExactly([{ address: "10.0.0.1:80", zone: undefined as never }]);
    await registration[Symbol.asyncDispose]();
    await orders.untilExactly([]);
    expect(orders.errors).toEqual([]);

    const bad: Readonly<Record<string, ConsulTlsOptions>> = {
      "without a certificate": { ca, servername },
      "with a stranger's certificate": {
        ca,
        servername,
        ...(await stranger.issue({ names: ["x.internal"] })),
      },
      "with another name": { ca, ...client },
      "with another authority": { ca: stranger.ca, servername, ...client },
    };
    for (const [how, tls] of Object.entries(bad)) {
      const set = stack.use(new WatchedSet(consul({ address, tls }), "orders", consulSubject));
      await set.untilError(0);
      expect([how, set.present]).toEqual([how, undefined]);
    }
  }, 60_000);
});
