/**
 * Fault 23: the registry is killed under load, stays dead for half a minute and comes back.
 *
 * All registries at once, each with its own service and caller's balancer: most of the time is the outage itself.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import type { Discovery } from "../../src/core/contracts.ts";
import { startBackend } from "../../src/testing/backend.ts";
import { DriveResult, drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { consulSubject } from "./subjects/consul.ts";
import { serviceRecordSubject } from "./subjects/dns.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { nacosSubject } from "./subjects/nacos.ts";
import type { RunningSubject, Subject } from "./support/subject.ts";
import { testSubject } from "./support/test-subject.ts";

const rate = 500;
const seconds = { before: 3, dead: 30 };
/** A client may pause for up to 30 s between two attempts. */
const recoveryLimitMs = 45_000;

/** Calls that a node must have had to count as used; it begins with few, as its connections are new. */
const usedAtLeast = 20;

const subjects = [etcdSubject, consulSubject, nacosSubject, serviceRecordSubject];

describe("a registry that dies under load", () => {
  for (const subject of subjects) testSubject(subject, run, { limitMs: 180_000, together: true });
});

async function run(subject: Subject): Promise<void> {
  await using registry = await subject.start();
  await using service = await startService(
    // As the host of a URL, which a balancer's name has to be.
    `${subject.name.replaceAll(/\W+/g, "-").toLowerCase()}.test`,
    3,
    { workMs: 2 },
    {},
    { discover: () => under(registry) },
  );
  const { balancer, backends, recorder } = service;
  const callsOf = (address: string): number => recorder.startsOn(address).length;
  await registry.put(backends.map(({ address }) => ({ address: written(address) })));
  await balancer.ready({ timeoutMs: 20_000 });
  await until("all nodes are known", () => balancer.nodes.length === backends.length, 20_000);

  const driving = drive({ ratePerSecond: rate, seconds: seconds.before + seconds.dead }, () =>
    service.call(),
  );
  await sleep(seconds.before * 1_000);
  await registry.kill();
  await until("the set is stale", () => balancer.discoveryState.state === "stale", 20_000);
  const usedBefore = backends.map(({ address }) => callsOf(address));
  const outage = await driving;
  const usedWhileDead = backends.map(({ address }, node) => callsOf(address) - (usedBefore[node] ?? 0));
  const { state, staleSince = Date.now() } = balancer.discoveryState;
  const staleSeconds = (Date.now() - staleSince) / 1_000;

  const restartedAt = performance.now();
  await registry.restart();
  await using added = await startBackend({ workMs: 2 });
  await registry.put([{ address: written(added.address) }]);
  const recovery: DriveResult[] = [];
  while (callsOf(added.address) < usedAtLeast || balancer.discoveryState.state !== "fresh") {
    recovery.push(await drive({ ratePerSecond: rate, seconds: 1 }, () => service.call()));
    if (performance.now() - restartedAt > recoveryLimitMs) break;
  }
  const all = new DriveResult(
    [outage, ...recovery].flatMap(({ calls }) => calls),
    outage.achievedRate,
  );

  printFigure(
    `23 registry down, ${subject.name}`,
    `${all.failed.length} of ${count(all.calls.length)} failed (pass: 0)`,
    `dead for ${seconds.dead} s, stale for ${count(staleSeconds)} s of it`,
    `${recorder.discoveryErrors.length} errors of the source`,
    `calls to each node while it was dead: ${usedWhileDead.map(count).join(" ")}`,
    `calls to the node that came after it was back: ${count(callsOf(added.address))}`,
    `${count(outage.achievedRate)} calls/s`,
  );
  expect(outage.achievedRate).toBeGreaterThan(0.9 * rate);
  expect(all.failed, all.describeFailures()).toHaveLength(0);
  expect(state, "it was really gone").toBe("stale");
  expect(staleSeconds).toBeGreaterThan(seconds.dead / 2);
  expect(recorder.discoveryErrors.length).toBeGreaterThan(0);
  expect(Math.min(...usedWhileDead)).toBeGreaterThan(0.1 * rate * seconds.dead * (1 / backends.length));
  expect(balancer.discoveryState.state).toBe("fresh");
  expect(callsOf(added.address)).toBeGreaterThanOrEqual(usedAtLeast);
}

/** The source under the name that the subject has for the service; the balancer has its own, for its events. */
function under({ source, service }: RunningSubject): Discovery {
  const client = source();
  return { watch: (context) => client.watch({ ...context, service }) };
}

/** As registries write it. */
function written(address: string): string {
  return address.replace("http://", "");
}
