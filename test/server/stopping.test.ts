/** Servers that register themselves are replaced one after the other under load: no call is lost, and none runs twice. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Balancer } from "../../src/index.ts";
import { MemoryRegistry } from "../../src/testing/memory-registry.ts";
import { createAuthority } from "../support/certificates.ts";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { isEncrypted, protocols } from "../support/protocols.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";
import { type AnnouncedServer, announce } from "./support/servers.ts";

const rate = 400;
const nodes = 3;

test.for(protocols)("a rolling restart over $name loses no call", async (protocol) => {
  await using authority = await createAuthority();
  const service = "rolling";
  const certificate = isEncrypted(protocol) ? await authority.issue({ names: [service] }) : undefined;
  const registry = new MemoryRegistry();
  const start = (): Promise<AnnouncedServer> =>
    announce(protocol, certificate, 20, { registry, service, drainMs: 300, closeMs: 30_000 });
  const servers = await Promise.all(Array.from({ length: nodes }, start));
  using recorder = new Recorder(service);
  const leftAt = ({ address }: AnnouncedServer): number | undefined =>
    recorder.states.find((event) => event.address === address && /draining|gone/.test(event.to))?.at;
  const balancer = new Balancer({
    name: service,
    discovery: registry,
    connections: protocol.connections,
    ...(certificate && { tls: { ca: authority.ca } }),
  });
  await balancer.ready();
  const call = async (): Promise<void> => {
    const { statusCode, body } = await balancer.request({ path: "/", method: "POST", body: "x" });
    const text = await body.text();
    if (statusCode !== 200 || text !== "ok") throw new Error(`${statusCode} ${text}`);
  };

  const driving = drive({ ratePerSecond: rate, seconds: 4 }, call);
  for (const old of [...servers]) {
    await sleep(300);
    servers.push(await start());
    const closed = old.registration.close();
    await until("the balancer has heard", () => leftAt(old) !== undefined, 5_000);
    // It has left, and serves what is on its way and those who have not heard.
    expect(old.server.listening).toBe(true);
    await closed;
    expect(old.server.listening).toBe(false);
  }
  const result = await driving;
  await balancer.close();
  await Promise.all(servers.map(({ registration }) => registration.close()));

  const arrived = servers.reduce((sum, server) => sum + server.arrived, 0);
  printFigure(
    `34 rolling restart of registered servers, ${protocol.name}`,
    `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
    `arrived ${count(arrived)} times (pass: ${count(result.calls.length)})`,
  );
  expect(result.failed, result.describeFailures()).toHaveLength(0);
  expect(arrived).toBe(result.calls.length);
  for (const old of servers.slice(0, nodes)) {
    const starts = recorder.startsOn(old.address);
    expect(starts.length).toBeGreaterThan(0);
    expect(starts.filter(({ at }) => at > (leftAt(old) ?? 0))).toEqual([]);
  }
  expect(registry.instances(service)).toEqual([]);
});
