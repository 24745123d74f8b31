/**
 * A program in a network of its own, where everything to and from one node vanishes for a while, its open connections
 * included; it reports how its calls went, and when the dead connections were given up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { roundRobin } from "../../src/index.ts";
import { drive } from "./drive.ts";
import { PacketFilter } from "./packet-filter.ts";
import { protocolNamed } from "./protocols.ts";
import { findBusy, startService } from "./service.ts";

export interface BlackholeReport {
  readonly calls: number;
  readonly failed: number;
  readonly failures: string;
  readonly achievedRate: number;
  readonly slowestMs: number;
  /** Calls that were in flight at the node when it vanished. */
  readonly inflight: number;
  readonly droppedPackets: number;
  /** Connections to the node when it vanished, and after how long none of them was left; null for never. */
  readonly connections: number;
  readonly retiredMs: number | null;
  /** Attempts that found no connection because those that there had been were given up. */
  readonly unconnected: number;
  /** It took calls again later, over how many new connections. */
  readonly answeredLater: number;
  readonly newConnections: number;
}

const [rate = "", protocol, attemptMs = ""] = process.argv.slice(2);
const ratePerSecond = Number(rate);

await using service = await startService(
  "blackhole",
  3,
  { workMs: 20, workers: 100 },
  {
    // leastCost() would avoid the node for long after: this one goes on trying it.
    policy: roundRobin(),
    timeouts: { connectMs: 500, attemptMs: Number(attemptMs) },
    connections: { pingMs: 500, pingTimeoutMs: 500 },
    health: { ejection: { baseMs: 500, maxMs: 500 } },
  },
  { protocol: protocolNamed(protocol) },
);
const { balancer, recorder } = service;
await drive({ ratePerSecond, seconds: 1 }, () => service.call());
const driving = drive({ ratePerSecond, seconds: 8 }, () => service.call());
await sleep(1_000);
const victim = await findBusy(service);
/** The victim's connections, as the balancer counts them. */
const openNow = (): number => {
  const node = balancer.cluster.nodeSet.nodes.get(victim.address);
  let open = 0;
  for (const count of balancer.cluster.connectionCounters) open += (node && count(node)?.open) ?? 0;
  return open;
};
const connections = openNow();
const { connections: before } = await victim.stats();
const inflight = balancer.nodes.find(({ address }) => address === victim.address)?.inflight ?? 0;
const filter = await PacketFilter.dropPort(victim.port);
const goneAt = performance.now();
let retiredMs = Number.NaN;
while (performance.now() - goneAt < 4_000) {
  if (Number.isNaN(retiredMs) && openNow() === 0) retiredMs = performance.now() - goneAt;
  await sleep(2);
}
const droppedPackets = await filter.lift();
const liftedAt = performance.now();
const result = await driving;
const { connections: after } = await victim.stats();

const report: BlackholeReport = {
  calls: result.calls.length,
  failed: result.failed.length,
  failures: result.describeFailures(),
  achievedRate: result.achievedRate,
  slowestMs: result.percentile(1),
  inflight,
  droppedPackets,
  connections,
  retiredMs,
  unconnected: recorder.endsOn(victim.address).filter(({ reason }) => reason === "connect").length,
  answeredLater: recorder
    .endsOn(victim.address)
    .filter(({ outcome, at }) => outcome === "success" && at > liftedAt).length,
  newConnections: after - before,
};
console.log(JSON.stringify(report));
