/** Fault 34 over gRPC: five servers are restarted one after the other under load, as a deploy does it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { askForOrder } from "../../../bench/faults/grpc-method.ts";
import { list } from "../../../src/index.ts";
import { count, printFigure } from "../../support/figure.ts";
import { statisticsOf } from "../support/channelz.ts";
import { describePeers, type Each, type System, startShop, systems } from "../support/shop.ts";

/** Of ours. The other two go on as long. */
const calls = 60_000;
/** Calls at once: as many as the machine carries, which is a rate that nobody has to know. */
const callers: Each<number> = { ours: 40, plain: 6, hardened: 6 };
const nodes = 5;

test("servers that deregister, stop and come back cost no call, whatever its method", {
  timeout: 180_000,
}, async () => {
  const discovery = list([]);
  await using shop = await startShop({
    nodes,
    workers: 1_000,
    discovery,
    options: { retry: { methods: [] } },
  });
  const { backends, balancer, clients, recorder } = shop;
  const made = { ours: 0, plain: 0, hardened: 0 };
  const lost: Each<string[]> = { ours: [], plain: [], hardened: [] };
  const run = async (system: System): Promise<void> => {
    while (made.ours < calls) {
      made[system]++;
      await askForOrder(clients[system], 10_000).catch((error: Error) => lost[system].push(error.message));
    }
  };
  const startedAt = performance.now();
  const running = Promise.all(
    systems.flatMap((system) => Array.from({ length: callers[system] }, () => run(system))),
  );
  const caught = { ours: 0, plain: 0, hardened: 0 };
  let servedBefore = 0;
  for (const [index, backend] of backends.entries()) {
    while (made.ours < (calls * (index + 0.3)) / nodes) await sleep(5);
    for (const system of systems)
      caught[system] += statisticsOf(clients[system]).get(backend.address)?.inflight ?? 0;
    servedBefore += balancer.nodes.find(({ address }) => address.endsWith(backend.address))?.calls ?? 0;
    discovery.remove(backend.address);
    await backend.terminate();
    backends[index] = await backend.restart();
    discovery.add(backend.address);
  }
  await running;
  const seconds = (performance.now() - startedAt) / 1_000;
  const servedAfter = balancer.nodes.map((node) => node.calls);
  const describe = (system: System): string =>
    `${lost[system].length} of ${count(made[system])} failed, ${caught[system]} caught in flight`;
  printFigure(
    "34 rolling restart over gRPC",
    `${lost.ours.length} of ${count(made.ours)} failed (pass: 0)`,
    `${caught.ours} were in flight at nodes as they were stopped, ${recorder.retries.length} retries`,
    `the restarted servers answered ${servedAfter.map((served) => count(served)).join(" ")}`,
    `${count(made.ours / seconds)} calls/s of ours`,
    describePeers({ plain: describe("plain"), hardened: describe("hardened") }),
  );
  expect(servedBefore).toBeGreaterThan(calls / nodes / 4);
  expect(caught.ours, "calls that the stops caught in flight").toBeGreaterThan(nodes);
  expect(caught.plain + caught.hardened, "calls of round_robin that the stops caught").toBeGreaterThan(0);
  expect(servedAfter).toHaveLength(nodes);
  for (const served of servedAfter) expect(served).toBeGreaterThan(0);
  expect(lost.ours.slice(0, 5)).toEqual([]);
});
