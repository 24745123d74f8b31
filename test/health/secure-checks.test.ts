/** Checks of https nodes: the certificate is verified as for any call, and nothing is sent where it does not hold. */
import { createServer } from "node:https";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { httpCheck, tcpCheck } from "../../src/index.ts";
import { type Arrival, arrive, listen, startServer, type TestServer } from "../http/support/server.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { nodeOf, often, reasonWhen, startChecked, untilAtLeast } from "./support/checked.ts";

let authority: Authority;

beforeAll(async () => {
  authority = await createAuthority();
});
afterAll(async () => {
  await authority[Symbol.asyncDispose]();
});

interface SecureServer extends TestServer {
  /** The name that each client asked for, and the name on its own certificate. */
  readonly clients: readonly { readonly servername: unknown; readonly subject: string | undefined }[];
  /** Handshakes that were completed. */
  readonly handshakes: () => number;
}

async function startSecureServer(name: string, asksForCertificate = false): Promise<SecureServer> {
  const arrivals: Arrival[] = [];
  const clients: SecureServer["clients"][number][] = [];
  let handshakes = 0;
  const options = {
    ...(await authority.issue({ names: [name] })),
    ca: authority.ca,
    requestCert: asksForCertificate,
    rejectUnauthorized: asksForCertificate,
  };
  const server = createServer(options, (request, response) => {
    const socket = request.socket as TLSSocket & { servername: unknown };
    const subject = socket.getPeerCertificate().subject?.CN;
    clients.push({
      servername: socket.servername,
      subject: subject === undefined ? undefined : String(subject),
    });
    arrivals.push(arrive(request));
    response.end();
  });
  server.on("secureConnection", () => handshakes++);
  server.on("tlsClientError", () => {});
  return Object.assign(await listen(server, arrivals, undefined, "https"), {
    clients,
    handshakes: () => handshakes,
  });
}

const checks = [
  ["httpCheck", httpCheck({ ...often, path: "/health" })],
  ["tcpCheck", tcpCheck(often)],
] as const;

test("an https node is asked under the service's name, which its certificate carries", async () => {
  await using server = await startSecureServer("orders");
  const [[, check]] = checks;
  await using balancer = startChecked([server], check, { tls: { ca: authority.ca } });
  await untilAtLeast(() => server.arrivals.length, 3);
  expect(server.clients[0]).toEqual({ servername: "orders", subject: undefined });
  expect(server.arrivals[0]?.headers.host).toBe("orders");
  expect(nodeOf(balancer).state).toBe("ready");
});

test("a check shows the certificate that calls show", async () => {
  await using server = await startSecureServer("orders", true);
  const { cert, key } = await authority.issue({ names: ["checkout"] });
  const [[, check]] = checks;
  await using balancer = startChecked([server], check, { tls: { ca: authority.ca, cert, key } });
  await untilAtLeast(() => server.arrivals.length, 3);
  expect(server.clients[0]).toEqual({ servername: "orders", subject: "checkout" });
  expect(nodeOf(balancer).state).toBe("ready");
});

test("shared connections carry the node's name, too", async () => {
  await using server = await startSecureServer("orders");
  const check = httpCheck({ ...often, path: "/health", connection: "shared" });
  await using balancer = startChecked([server], check, {
    tls: { ca: authority.ca },
    connections: { perNode: 1 },
  });
  await (await balancer.fetch("/v1/orders")).text();
  await untilAtLeast(() => server.arrivals.length, 4);
  expect(new Set(server.clients.map(({ servername }) => servername))).toEqual(new Set(["orders"]));
  expect(server.accepted).toBe(1);
  expect(nodeOf(balancer).state).toBe("ready");
});

test("tcpCheck completes the handshake with an https node", async () => {
  await using server = await startSecureServer("orders");
  await using balancer = startChecked([server], tcpCheck(often), { tls: { ca: authority.ca } });
  await untilAtLeast(server.handshakes, 3);
  expect(nodeOf(balancer).state).toBe("ready");
  expect(server.arrivals).toEqual([]);
});

test.each(checks)("%s fails where the certificate is another service's", async (_, check) => {
  await using server = await startSecureServer("users");
  await using balancer = startChecked([server], check, { tls: { ca: authority.ca } });
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: ERR_TLS_CERT_ALTNAME_INVALID/);
  expect(server.arrivals).toEqual([]);
});

test.each(checks)("%s fails where nobody trusted has signed the certificate", async (_, check) => {
  await using server = await startSecureServer("orders");
  await using balancer = startChecked([server], check);
  expect(await reasonWhen("down", balancer)).toMatch(
    /^check failed: (UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|SELF_SIGNED_CERT_IN_CHAIN)/,
  );
  expect(server.arrivals).toEqual([]);
});

test.each(checks)("%s fails where an https node speaks plain HTTP", async (_, check) => {
  await using server = await startServer();
  await using balancer = startChecked([`https://127.0.0.1:${server.port}`], check, {
    tls: { ca: authority.ca },
  });
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: /);
  expect(server.arrivals).toEqual([]);
});

test.each(checks)("%s fails with a key that cannot be read, and ends nothing", async (_, check) => {
  await using server = await startSecureServer("orders");
  await using balancer = startChecked([server], check, {
    tls: { ca: authority.ca, cert: "no PEM", key: "no PEM" },
  });
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: ERR_OSSL/);
});
