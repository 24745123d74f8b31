/** Nacos over TLS: its gRPC port, and the HTTP port that logins go to. */
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type NacosOptions, nacos } from "../../src/discovery/nacos.ts";
import { createAuthority } from "../support/certificates.ts";
import { host, ScriptedNacos } from "./support/scripted-nacos.ts";
import type { Subject } from "./support/subject.ts";
import { WatchedSet } from "./support/watched-set.ts";

const facts = { hasWeights: true, hasZones: false } as Subject["facts"];
const subject = { facts } as Subject;
const auth = { username: "keel", password: "the password" };

describe("Nacos over TLS", () => {
  it("is spoken with a server given as https:, by gRPC and by logins, and only with those whom tls.ca names", async () => {
    await using stack = new AsyncDisposableStack();
    const authority = stack.use(await createAuthority());
    const stranger = stack.use(await createAuthority("Somebody else"));
    const { cert, key } = await authority.issue({ names: ["nacos.internal"] });
    const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
    const server = stack.use(await ScriptedNacos.start(ServerCredentials.createSsl(null, [pair])));
    server.hosts = [host(1)];
    const logins: string[] = [];
    const http = createServer({ cert, key }, (request, response) => {
      logins.push(String(request.url));
      response.end(JSON.stringify({ accessToken: "t", tokenTtl: 100 }));
    }).listen(0, "127.0.0.1");
    stack.defer(() => http.closeAllConnections());
    stack.defer(() => void http.close());
    await once(http, "listening");
    const { port } = http.address() as AddressInfo;
    const grpcPortOffset = Number(server.address.split(":")[1]) + 1_000 - port;
    const servername = "nacos.internal";
    const watch = (tls: NacosOptions["tls"]) => {
      const source = nacos({ servers: `https://127.0.0.1:${port}`, grpcPortOffset, auth, tls });
      return stack.use(new WatchedSet(source, "orders", subject));
    };

    const good = watch({ ca: authority.ca, servername });
    await good.untilExactly([{ address: "10.0.0.1:8080", weight: 1 }]);
    expect([logins, good.errors]).toEqual([["/nacos/v3/auth/user/login"], []]);
    for (const tls of [undefined, false, { ca: stranger.ca, servername }, { ca: authority.ca }] as const) {
      const bad = watch(tls);
      await bad.untilError(0);
      expect(bad.present).toBeUndefined();
    }
    // Neither a token nor a password went to a server that was not trusted.
    expect(logins).toHaveLength(1);
  }, 60_000);
});
