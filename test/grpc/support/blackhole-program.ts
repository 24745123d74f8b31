/**
 * A program in a network of its own, where everything to and from one node vanishes for a while, its open connections
 * included; it reports how the calls of each system went, and when its dead connection was given up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { getOrder } from "../../../bench/faults/grpc-method.ts";
import { totalMs } from "../../../bench/faults/plan.ts";
import { roundRobin } from "../../../src/index.ts";
import { PacketFilter } from "../../support/packet-filter.ts";
import { statisticsOf } from "./channelz.ts";
import { hadBegun } from "./clients.ts";
import { type Each, findBusy, type System, startShop, systems } from "./shop.ts";

export interface BlackholedSystem {
  readonly calls: number;
  readonly failed: number;
  readonly failures: string;
  /** Of the failed ones, those that the node vanished under in the midst of its answer. */
  readonly begun: number;
  readonly slowestMs: number;
  /** How long after the node vanished the connection to it was given up; null for not while it was gone. */
  readonly retiredMs: number | null;
  /** What stands to the node at the end, long after it is back: the connection that went dead, and others. */
  readonly oldConnections: number;
  readonly newConnections: number;
}

export interface BlackholeReport extends Each<BlackholedSystem> {
  /** Calls of ours that were in flight at the node when it vanished, and those that ended with the connection. */
  readonly inflight: number;
  readonly cut: number;
  readonly droppedPackets: number;
  /** Attempts at it while it was gone, after its connection was given up. */
  readonly late: number;
  /** Calls of ours that it answered later. */
  readonly answeredLater: number;
}

const [rate = ""] = process.argv.slice(2);
const goneMs = 2_200;

await using shop = await startShop({
  nodes: 3,
  workMs: 20,
  callMs: totalMs,
  // leastCost() would avoid the node for long after: this one goes on trying it.
  options: {
    policy: roundRobin(),
    connections: {},
    retry: { methods: [getOrder.path] },
    health: { ejection: { baseMs: 500, maxMs: 500 } },
  },
});
const { clients, recorder } = shop;
await shop.drive({ ratePerSecond: Number(rate), seconds: 0.5 });
const driving = shop.drive({ ratePerSecond: Number(rate), seconds: 3 });
await sleep(300);
const { backend, inflight } = await findBusy(shop, 2);
const socketsOf = (system: System): readonly string[] =>
  statisticsOf(clients[system]).get(backend.address)?.sockets ?? [];
const dead: ReadonlySet<string> = new Set(systems.flatMap(socketsOf));
const filter = await PacketFilter.dropPort(Number(backend.address.split(":")[1]));
const goneAt = performance.now();
const retiredMs: Partial<Record<System, number>> = {};
for (; performance.now() - goneAt < goneMs; await sleep(2)) {
  for (const system of systems) {
    if (!socketsOf(system).some((socket) => dead.has(socket)))
      retiredMs[system] ??= performance.now() - goneAt;
  }
}
const droppedPackets = await filter.lift();
const liftedAt = performance.now();
const results = await driving;
const address = `http://${backend.address}`;
const answeredLater = (): number =>
  recorder.endsOn(address).filter(({ outcome, at }) => outcome === "success" && at > liftedAt).length;
// A connection that was being made when the node came back may have to be given up first.
for (const endsAt = liftedAt + 8_000; answeredLater() === 0 && performance.now() < endsAt; ) {
  await shop.drive({ ratePerSecond: 50, seconds: 0.2 });
}

function describe(system: System): BlackholedSystem {
  const result = results[system];
  const sockets = socketsOf(system);
  const oldConnections = sockets.filter((socket) => dead.has(socket)).length;
  return {
    calls: result.calls.length,
    failed: result.failed.length,
    failures: result.describeFailures(),
    begun: result.failed.filter(({ error }) => hadBegun(error)).length,
    slowestMs: result.percentile(1),
    retiredMs: retiredMs[system] ?? null,
    oldConnections,
    newConnections: sockets.length - oldConnections,
  };
}

const retiredAt = goneAt + (retiredMs.ours ?? goneMs);
const report: BlackholeReport = {
  ours: describe("ours"),
  plain: describe("plain"),
  hardened: describe("hardened"),
  inflight,
  cut: recorder.endsOn(address).filter(({ at, reason }) => at >= goneAt && reason === "reset").length,
  droppedPackets,
  late: recorder.startsOn(address).filter(({ at }) => at > retiredAt && at < liftedAt).length,
  answeredLater: answeredLater(),
};
console.log(JSON.stringify(report));
