/** Fault 24: the registry says, by mistake, that the service has no instances. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { PushedDiscovery } from "../support/pushed-discovery.ts";
import { startService } from "../support/service.ts";

const rate = 500;

test("an empty set is held to be an accident, and the old one stays in use", async () => {
  let discovery = new PushedDiscovery([]);
  await using service = await startService(
    "emptied",
    3,
    { workMs: 1 },
    {},
    {
      discover: (addresses) => {
        discovery = new PushedDiscovery(addresses.map((address) => ({ address })));
        return discovery;
      },
    },
  );
  const { balancer, backends, recorder } = service;
  const addresses = backends.map(({ address }) => address);

  const driving = drive({ ratePerSecond: rate, seconds: 3 }, () => service.call());
  await sleep(500);
  for (let push = 0; push < 5; push++) {
    discovery.push([]);
    await sleep(200);
  }
  const stateWhileEmpty = balancer.cluster.discoveryState.state;
  const held = balancer.nodes.map(({ address, state }) => `${address} ${state}`);
  // Not those that are made: a busy machine has more calls at once, and more connections for them.
  let lost = 0;
  balancer.on("disconnect", () => lost++);
  const picks = recorder.starts.length;
  discovery.push(addresses.map((address) => ({ address })));
  const result = await driving;

  printFigure(
    "24 empty push",
    `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
    `nodes held: ${held.length} (pass: ${backends.length})`,
    `events: ${recorder.discoveryErrors.length}, state meanwhile: ${stateWhileEmpty}`,
    `watches begun: ${discovery.watches} (pass: 1)`,
    `connections lost when the full set was back: ${lost} (pass: 0)`,
  );
  expect(discovery.watches).toBe(1);
  expect(recorder.starts.length).toBeGreaterThan(picks);
  expect(result.failed, result.describeFailures()).toHaveLength(0);
  expect(held).toEqual(addresses.map((address) => `${address} ready`));
  expect(lost).toBe(0);
  // It was heard, and not believed.
  expect(stateWhileEmpty).toBe("stale");
  expect(String(recorder.discoveryErrors[0]?.error)).toContain("no usable endpoint");
  expect(balancer.cluster.discoveryState.state).toBe("fresh");
});
