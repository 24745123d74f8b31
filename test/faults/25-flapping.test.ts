/** Fault 25: the registry adds and removes the same instances ten times a second. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Discovery, list } from "../../src/index.ts";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { h2c, http1 } from "../support/protocols.ts";
import { PushedDiscovery } from "../support/pushed-discovery.ts";
import { startService } from "../support/service.ts";

const rate = 500;
const perNode = 4;
const flaps = 40;
const everyMs = 100;

interface Source {
  readonly discovery: Discovery;
  push(addresses: readonly string[]): void;
}

function pushed(addresses: readonly string[]): Source {
  const toEndpoints = (set: readonly string[]) => set.map((address) => ({ address }));
  const discovery = new PushedDiscovery(toEndpoints(addresses));
  return { discovery, push: (set) => discovery.push(toEndpoints(set)) };
}

function listed(addresses: readonly string[]): Source {
  const discovery = list(addresses);
  return { discovery, push: (set) => discovery.set(set) };
}

const cases = [http1, h2c].flatMap((protocol) => [
  { protocol, what: "a list", createSource: listed },
  { protocol, what: "a source that pushes", createSource: pushed },
]);

test.for(cases)(
  "nodes that stay keep their connections over $protocol.name while others flap in $what",
  async ({ protocol, what, createSource }) => {
    let source = createSource([]);
    await using service = await startService(
      `flapping-${createSource.name}`,
      5,
      { workMs: 5 },
      { connections: { perNode } },
      {
        protocol,
        discover: (addresses) => {
          source = createSource(addresses);
          return source.discovery;
        },
      },
    );
    const { balancer, backends, recorder } = service;
    const addresses = backends.map(({ address }) => address);
    const staying = backends.slice(0, 3);
    const connections = (): Promise<readonly number[]> =>
      Promise.all(staying.map(async (backend) => (await backend.stats()).connections));

    // More calls at once than all nodes together have connections: each has as many as it may.
    await balancer.ready();
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 10 * 5 * perNode }, () => service.call()));
    }
    const before = await connections();
    const driving = drive({ ratePerSecond: rate, seconds: (flaps * everyMs) / 1_000 + 1 }, () =>
      service.call(),
    );
    for (let flap = 0; flap < flaps; flap++) {
      source.push(flap % 2 === 0 ? addresses.slice(0, 3) : addresses);
      await sleep(everyMs);
    }
    const result = await driving;
    const after = await connections();
    const reconnects = after.reduce((sum, made, node) => sum + made - (before[node] ?? 0), 0);
    const changes = recorder.states.filter(({ address }) => addresses.indexOf(address) >= 3);
    const changesOfStaying = recorder.states.filter(
      ({ address, from }) => addresses.indexOf(address) < 3 && from !== "new",
    );

    printFigure(
      `25 flapping, ${what}, ${protocol.name}`,
      `reconnects of the nodes that stayed: ${reconnects} (pass: 0)`,
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
      `connections to each before: ${before.join(" ")}`,
      `changes of state of the two that flapped in ${flaps} flaps: ${changes.length}, of the others: ${changesOfStaying.length} (pass: 0)`,
      `${count(result.achievedRate)} calls/s`,
    );
    expect(Math.min(...before)).toBeGreaterThan(0);
    expect(changes.length, "the flapping was seen").toBeGreaterThan(2);
    expect(changesOfStaying).toEqual([]);
    expect(reconnects).toBe(0);
    expect(result.failed, result.describeFailures()).toHaveLength(0);
  },
);
