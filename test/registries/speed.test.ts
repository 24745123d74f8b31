/** How long after a foreign client began to write an instance it is a node that can be picked, for each source. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { Cluster } from "../../src/index.ts";
import { ms } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { Recorder } from "../support/recorder.ts";
import { until } from "../support/until.ts";
import { instance } from "./contract/test.ts";
import { consulSubject } from "./subjects/consul.ts";
import { addressSubject, serviceRecordSubject } from "./subjects/dns.ts";
import { etcdSubject, oldEtcdSubject } from "./subjects/etcd.ts";
import { nacosSubject } from "./subjects/nacos.ts";
import type { Subject } from "./support/subject.ts";
import { testSubject } from "./support/test-subject.ts";

const rounds = 15;
/** Changes that come closer than the guard's 100 ms are merged, which is not what is measured here. */
const pauseMs = 300;
/** The mark is 50 ms; what a busy machine adds must not fail a build, but a source that asks at intervals must. */
const limitMs = 1_000;

const subjects = [
  etcdSubject,
  oldEtcdSubject,
  consulSubject,
  nacosSubject,
  addressSubject,
  serviceRecordSubject,
];

describe("from a change in the registry to a node that can be picked", () => {
  for (const subject of subjects) testSubject(subject, measure, { limitMs: 60_000 });
});

async function measure(subject: Subject): Promise<void> {
  await using registry = await subject.start();
  // The cluster's name is the service's, and the recorder tells events apart by it: tests of a file run in turn.
  using recorder = new Recorder(registry.service);
  await using cluster = new Cluster({ name: registry.service, discovery: registry.source() });
  await registry.put([instance(0)]);
  await cluster.ready({ timeoutMs: 20_000 });

  const times: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    await sleep(pauseMs);
    const { address } = instance(round);
    const pickable = () => recorder.states.find((event) => event.address.endsWith(address));
    const startedAt = performance.now();
    await registry.put([instance(round)]);
    await until(`${address} can be picked`, () => pickable() !== undefined, 20_000);
    times.push((pickable()?.at ?? Number.NaN) - startedAt);
  }
  const median = percentile(times, 0.5);
  const { pushesWithinMs } = subject.facts;
  console.log(
    `registry ${subject.name}: change to pickable node, median ${ms(median)} (pass: ${markOf(pushesWithinMs)}), ` +
      `90% ${ms(percentile(times, 0.9))}, of ${rounds}`,
  );
  if (pushesWithinMs !== undefined) expect(median).toBeLessThan(pushesWithinMs + limitMs);
}

function markOf(pushesWithinMs: number | undefined): string {
  if (pushesWithinMs === undefined) return "none, it is asked for every 100 ms";
  return pushesWithinMs === 0 ? "50 ms" : `50 ms after the server's own ${pushesWithinMs} ms at most`;
}
