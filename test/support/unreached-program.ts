/** A program in a network of its own, one of whose nodes' SYNs vanish for a while; it reports how its calls went. */
import { leastCost, roundRobin } from "../../src/index.ts";
import type { Backend } from "../../src/testing/backend.ts";
import { drive } from "./drive.ts";
import { PacketFilter } from "./packet-filter.ts";
import { protocolNamed } from "./protocols.ts";
import { first, startService } from "./service.ts";

export interface UnreachedReport {
  readonly calls: number;
  readonly failed: number;
  readonly failures: string;
  readonly achievedRate: number;
  readonly healthySlowestMs: number;
  readonly slowestMs: number;
  /** Attempts that ended because no connection was there in time. */
  readonly unconnected: number;
  readonly droppedPackets: number;
  /** Its state at the end of the drops, and whether it took calls again later. */
  readonly stateWhileDropped: string;
  readonly cameBack: boolean;
}

const [rate = "", connectMs = "", policy = "", protocol] = process.argv.slice(2);
const ratePerSecond = Number(rate);

await using service = await startService(
  "unreached",
  5,
  { workMs: 1 },
  {
    policy: policy === "roundRobin" ? roundRobin() : leastCost(),
    timeouts: { connectMs: Number(connectMs) },
    // Connections are made all the time: with those that are there, nobody would miss a SYN.
    connections: { idleMs: 20 },
    health: { ejection: { baseMs: 1_000 } },
  },
  { protocol: protocolNamed(protocol) },
);
const { balancer, recorder } = service;
// Of ten calls, two are POSTs: what never got a connection was never sent.
const call = (index: number): Promise<void> => service.call(index % 5 === 4 ? "POST" : "GET");

await drive({ ratePerSecond, seconds: 0.5 }, call);
const healthy = await drive({ ratePerSecond, seconds: 1.5 }, call);
// One that is called now: leastCost() may leave any of them alone for a while.
const recent = recorder.starts.slice(-20).map(({ address }) => address);
const callsOf = (node: Backend): number => recent.filter((address) => address === node.address).length;
const victim = first(
  service.backends.toSorted((a, b) => callsOf(b) - callsOf(a)),
  "backend",
);
const filter = await PacketFilter.dropSyns(victim.port);
const dropped = await drive({ ratePerSecond, seconds: 3 }, call);
const stateWhileDropped = balancer.nodes.find(({ address }) => address === victim.address)?.state ?? "";
const droppedPackets = await filter.lift();
const lifted = performance.now();
const after = await drive({ ratePerSecond, seconds: 2.5 }, call);
const failed = [...healthy.failed, ...dropped.failed, ...after.failed];

const report: UnreachedReport = {
  calls: healthy.calls.length + dropped.calls.length + after.calls.length,
  failed: failed.length,
  failures: `${dropped.describeFailures()} ${after.describeFailures()}`,
  achievedRate: dropped.achievedRate,
  healthySlowestMs: healthy.percentile(1),
  slowestMs: dropped.percentile(1),
  unconnected: recorder.endsOn(victim.address).filter(({ reason }) => reason === "connect").length,
  droppedPackets,
  stateWhileDropped,
  cameBack: recorder.endsOn(victim.address).some(({ outcome, at }) => outcome === "success" && at > lifted),
};
console.log(JSON.stringify(report));
