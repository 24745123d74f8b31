/** Certificates: checked whatever the environment says, kept apart between identities, and renewed while running. */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Balancer } from "../../src/index.ts";
import { type Authority, type Certificate, createAuthority } from "../support/certificates.ts";
import { runChild } from "../support/child.ts";
import { until } from "../support/until.ts";
import { rejection, startBalancer, type TestBalancer } from "./support/balancers.ts";
import { listen, type TestServer } from "./support/server.ts";

let authority: Authority;
let server: Certificate;
let folder: string;

beforeAll(async () => {
  authority = await createAuthority();
  server = await authority.issue({ names: ["orders"] });
  folder = mkdtempSync(join(tmpdir(), "evenkeel-tls-"));
});
afterAll(async () => {
  await authority[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Asks for a client certificate and answers with its serial number, and whether the session was resumed. */
async function startMutual(): Promise<TestServer> {
  const options = { ...server, ca: authority.ca, requestCert: true, rejectUnauthorized: true };
  const https = createServer(options, (request, response) => {
    const socket = request.socket as TLSSocket;
    const { serialNumber } = socket.getPeerCertificate();
    response.end(`${serialNumber ?? "none"} ${socket.isSessionReused() ? "resumed" : "new"}`);
  });
  return await listen(https, [], { port: 0, host: "127.0.0.1" }, "https");
}

async function call(balancer: TestBalancer | Balancer): Promise<string> {
  return await (await balancer.request({ path: "/", method: "GET" })).body.text();
}

function serialOf({ cert }: Certificate): string {
  return new X509Certificate(cert).serialNumber;
}

test("a client certificate is shown, and without one the node refuses", async () => {
  await using node = await startMutual();
  const client = await authority.issue({ names: ["caller"] });
  await using named = startBalancer([node], { tls: { ca: authority.ca, ...client } });
  expect(await call(named)).toBe(`${serialOf(client)} new`);
  await using nameless = startBalancer([node], { tls: { ca: authority.ca }, retry: false });
  expect(await rejection(nameless.request({ path: "/", method: "GET" }))).toMatchObject({
    code: "ERR_NO_NODE",
  });
});

test("two identities share neither connections nor sessions", async () => {
  await using node = await startMutual();
  const identities = [await authority.issue({ names: ["a"] }), await authority.issue({ names: ["b"] })];
  const balancers = identities.map((identity) =>
    startBalancer([node], { tls: { ca: authority.ca, ...identity }, connections: { maxAgeMs: 20 } }),
  );
  const seen = new Set<string>();
  for (let round = 0; round < 10; round++) {
    for (const [index, balancer] of balancers.entries()) {
      const [serial, resumption] = (await call(balancer)).split(" ");
      expect(serial).toBe(serialOf(identities[index] as Certificate));
      seen.add(`${index} ${resumption}`);
    }
    await sleep(15);
  }
  // Sessions are resumed, each by its own balancer, or the test would show nothing.
  expect([...seen].sort()).toEqual(["0 new", "0 resumed", "1 new", "1 resumed"]);
  for (const balancer of balancers) await balancer.destroy();
});

test("NODE_TLS_REJECT_UNAUTHORIZED=0 does not switch verification off", async () => {
  await using node = await startMutual();
  const { report } = await runChild<{ error: string; plain: string }>("unverified-program.ts", {
    arguments: [node.address],
    environment: { NODE_TLS_REJECT_UNAUTHORIZED: "0", NODE_NO_WARNINGS: "1" },
    limitMs: 20_000,
  });
  expect(report.error).toMatch(/self.signed|UNABLE_TO_VERIFY|SELF_SIGNED/i);
  // The environment does switch it off for others.
  expect(report.plain).not.toMatch(/self.signed|UNABLE_TO_VERIFY|SELF_SIGNED/i);
});

test("certificates in files are read again when they change, and calls go on meanwhile", async () => {
  await using node = await startMutual();
  const [before, after] = [await authority.issue({ names: ["a"] }), await authority.issue({ names: ["b"] })];
  const files = {
    caFile: join(folder, "ca.pem"),
    certFile: join(folder, "cert.pem"),
    keyFile: join(folder, "key.pem"),
  };
  writeFileSync(files.caFile, authority.ca);
  const write = ({ cert, key }: Certificate): void => {
    writeFileSync(files.certFile, cert);
    writeFileSync(files.keyFile, key);
  };
  write(before);
  await using balancer = startBalancer([node], { tls: files, retry: false });
  expect(await call(balancer)).toContain(serialOf(before));
  let failed = 0;
  let serial = "";
  let isDone = false;
  const calling = (async () => {
    while (!isDone) {
      try {
        serial = (await call(balancer)).split(" ")[0] as string;
      } catch {
        failed++;
      }
      await sleep(2);
    }
  })();
  write(after);
  await until("the new certificate", () => serial === serialOf(after), 10_000);
  isDone = true;
  await calling;
  expect(failed).toBe(0);
  // The old identity's connections are closed.
  await until("one connection", () => node.open.size === 1, 2_000);
});

test("files that do not fit together are reported, and the old certificate stays", async () => {
  await using node = await startMutual();
  const [own, other] = [await authority.issue({ names: ["a"] }), await authority.issue({ names: ["b"] })];
  const certFile = join(folder, "one.pem");
  const keyFile = join(folder, "one.key");
  writeFileSync(certFile, own.cert);
  writeFileSync(keyFile, own.key);
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", onWarning);
  try {
    await using balancer = startBalancer([node], { tls: { ca: authority.ca, certFile, keyFile } });
    await call(balancer);
    writeFileSync(keyFile, other.key);
    await until("a warning", () => warnings.length > 0, 10_000);
    expect(warnings[0]).toContain(`orders: ${keyFile} changed and cannot be used`);
    expect(await call(balancer)).toContain(serialOf(own));
  } finally {
    process.off("warning", onWarning);
  }
});

test.each(["auto", "never"] as const)(
  "connections that are kept ready are used, http2: %s",
  async (http2) => {
    await using node = await startMutual();
    const client = await authority.issue({ names: ["caller"] });
    await using balancer = startBalancer([node], {
      tls: { ca: authority.ca, ...client },
      connections: { minPerNode: 1, http2 },
    });
    await until("a connection", () => node.open.size === 1, 2_000);
    await sleep(20);
    expect(await call(balancer)).toContain(serialOf(client));
    expect(await (await balancer.fetch("/", { method: "POST", body: "x" })).text()).toContain(
      serialOf(client),
    );
    expect(node.accepted).toBe(1);
  },
);

test("what is no certificate fails the calls that would show it, and nothing else", async () => {
  await using node = await startMutual();
  await using balancer = startBalancer([node], {
    tls: { ca: authority.ca, cert: "no", key: "no" },
    retry: false,
  });
  for (let round = 0; round < 3; round++) {
    const error = await rejection(balancer.request({ path: "/", method: "GET" }));
    expect(error).toMatchObject({ code: "ERR_NO_NODE" });
    expect(String(error.cause)).toContain("PEM");
  }
});

test("files that are not there, or not what they should be, are refused by name", () => {
  const options = (tls: object): ConstructorParameters<typeof Balancer>[0] => ({
    name: "orders",
    discovery: ["https://127.0.0.1:1"],
    tls,
  });
  const missing = join(folder, "missing.pem");
  expect(() => new Balancer(options({ caFile: missing }))).toThrow(
    /tls\.caFile cannot be read: .*missing\.pem/,
  );
  const bad = join(folder, "bad.pem");
  writeFileSync(bad, "not a key");
  expect(() => new Balancer(options({ keyFile: bad, cert: server.cert }))).toThrow(
    /tls\.cert, tls\.key cannot be used/,
  );
  expect(() => new Balancer(options({ keyFile: bad, key: server.key }))).toThrow(
    "tls.key and tls.keyFile are both given, and only one can hold",
  );
});
