/** Servers that register themselves are replaced one after the other under load: no call is lost, and none runs twice. */
import { once } from "node:events";
import { connect } from "node:net";
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

/** The kernel takes connections for a program that is busy, and resets those that were not accepted when it closes. */
test.for(protocols)("takes what had reached the machine when it closes, over $name", async (protocol) => {
  await using authority = await createAuthority();
  const service = "busy";
  const certificate = isEncrypted(protocol) ? await authority.issue({ names: [service] }) : undefined;
  const { server, registration, address } = await announce(protocol, certificate, 1, {
    registry: new MemoryRegistry(),
    service,
    drainMs: 0,
  });
  const { hostname, port } = new URL(address);
  const connections = Array.from({ length: 50 }, () => connect(Number(port), hostname));
  let accepted = 0;
  server.on("connection", () => accepted++);
  const outcomes = connections.map(async (socket) => {
    await once(socket, "connect");
    // A connection that was reset makes this reject.
    socket.end();
    socket.resume();
    await once(socket, "close");
  });
  // All connections are made within this turn, in which the server accepts none.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(accepted).toBe(0);
  const closed = registration.close();
  await Promise.all(outcomes);
  await closed;
  expect(accepted).toBe(connections.length);
});
