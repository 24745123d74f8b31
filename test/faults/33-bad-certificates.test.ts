/** Fault 33: nodes show certificates that have expired, are for another name, or are of an unknown authority. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Balancer, roundRobin } from "../../src/index.ts";
import { type Backend, type BackendTls, startBackend } from "../../src/testing/backend.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { isEncrypted, protocols } from "../support/protocols.ts";
import { Recorder } from "../support/recorder.ts";
import { startWiretap } from "../support/wiretap.ts";

const name = "orders.internal";
const secret = "/v1/secret-of-the-caller";
const hourMs = 3_600_000;
const rate = 200;

let authority: Authority;
let stranger: Authority;
let good: BackendTls;
let bad: readonly { readonly what: string; readonly tls: BackendTls; readonly code: RegExp }[];

beforeAll(async () => {
  authority = await createAuthority();
  stranger = await createAuthority("Somebody else");
  const names: [string] = [name];
  good = await authority.issue({ names });
  bad = [
    {
      what: "expired",
      tls: await authority.issue({ names, notAfter: new Date(Date.now() - hourMs) }),
      code: /CERT_HAS_EXPIRED/,
    },
    {
      what: "wrong name",
      tls: await authority.issue({ names: ["users.internal"] }),
      code: /ALTNAME_INVALID/,
    },
    {
      what: "unknown authority",
      tls: await stranger.issue({ names }),
      code: /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/,
    },
  ];
});
afterAll(async () => {
  await authority[Symbol.asyncDispose]();
  await stranger[Symbol.asyncDispose]();
});

test.for(protocols.filter(isEncrypted))(
  "nodes with bad certificates are out, alone, and hear nothing over $name",
  async (protocol) => {
    await using stack = new AsyncDisposableStack();
    const start = async (tls: BackendTls): Promise<Backend> =>
      stack.use(await startBackend({ workMs: 1 }, { protocol: protocol.speaks, tls }));
    const goods = await Promise.all([1, 2, 3, 4].map(() => start(good)));
    const bads = await Promise.all(bad.map(({ tls }) => start(tls)));
    const taps = await Promise.all(bads.map(({ port }) => startWiretap(port)));
    for (const tap of taps) stack.use(tap);
    const addresses = taps.map(({ port }) => `https://127.0.0.1:${port}`);
    const recorder = stack.use(new Recorder(name));
    const balancer = new Balancer({
      name,
      discovery: [...addresses, ...goods.map(({ address }) => address)],
      policy: roundRobin(),
      // Until they are ejected, a call may meet all three.
      retry: { attempts: 1 + bad.length },
      connections: protocol.connections,
      tls: { ca: authority.ca },
    });
    stack.defer(() => balancer.destroy());

    const result = await drive({ ratePerSecond: rate, seconds: 4 }, async (index) => {
      // What was never sent may be tried elsewhere, a POST too.
      const method = index % 5 === 0 ? "POST" : "GET";
      const { statusCode, body } = await balancer.request({ path: secret, method });
      await body.text();
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    });

    const states = balancer.nodes.map(({ state }) => state);
    const served = await Promise.all(bads.map(async (backend) => (await backend.stats()).requests));
    const attempts = addresses.map((address) => recorder.endsOn(address));
    const plaintext = taps.reduce((sum, tap) => sum + tap.plaintextBytes, 0);
    const handshakes = taps.map(({ heard }) => heard.length);
    printFigure(
      `33 bad certificates, ${protocol.name}`,
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
      `plaintext bytes: ${plaintext} (pass: 0)`,
      `requests that reached the three: ${served.join(" ")} (pass: 0)`,
      bad.map(({ what }, node) => `${what}: ${attempts[node]?.length} attempts, ${states[node]}`).join(", "),
      `the others: ${states.slice(bad.length).join(" ")} (pass: ready)`,
      `handshakes begun: ${handshakes.join(" ")}`,
    );
    expect(result.failed, result.describeFailures()).toHaveLength(0);
    for (const [node, { code }] of bad.entries()) {
      expect(attempts[node]?.length).toBeGreaterThan(0);
      for (const { outcome, detail } of attempts[node] ?? []) {
        expect(outcome).toBe("failure");
        expect(detail).toMatch(code);
      }
      expect(["ejected", "down", "probing"]).toContain(states[node]);
    }
    expect(states.slice(bad.length)).toEqual(goods.map(() => "ready"));
    expect(Math.min(...handshakes)).toBeGreaterThan(0);
    expect(served).toEqual([0, 0, 0]);
    expect(plaintext).toBe(0);
    expect(taps.some((tap) => tap.overheard(secret))).toBe(false);
  },
);

test("an https: call finds no node rather than an unencrypted one, even when nothing else is left", async () => {
  await using stack = new AsyncDisposableStack();
  const plain = stack.use(await startBackend({ workMs: 1 }));
  const plainTap = stack.use(await startWiretap(plain.port));
  const expired = stack.use(await startBackend({ workMs: 1 }, { protocol: "https1", tls: bad[0]?.tls }));
  const balancer = new Balancer({
    name,
    discovery: [expired.address, `http://127.0.0.1:${plainTap.port}`],
    tls: { ca: authority.ca },
  });
  stack.defer(() => balancer.destroy());
  const codes = new Set<unknown>();
  for (let call = 0; call < 50; call++) {
    await balancer.fetch(`https://${name}${secret}`).then(
      () => codes.add("answered"),
      (error: Error) => codes.add((error.cause as { code?: unknown } | undefined)?.code ?? error),
    );
  }
  printFigure(
    "33 bad certificates, no downgrade",
    `bytes that an unencrypted node got: ${plainTap.heard.reduce((sum, { length }) => sum + length, 0)} (pass: 0)`,
    `50 calls ended with ${[...codes].join(" ")}`,
  );
  expect(plainTap.heard).toEqual([]);
  expect([...codes].every((code) => code === "ERR_CONFIG" || code === "ERR_NO_NODE")).toBe(true);
});
