/** A program in a network of its own that is gone for a while, for all nodes at once; it reports how its calls went. */
import { setTimeout as sleep } from "node:timers/promises";
import { drive } from "./drive.ts";
import { PacketFilter } from "./packet-filter.ts";
import { protocolNamed } from "./protocols.ts";
import { startService } from "./service.ts";
import { until } from "./until.ts";

export interface CutOffReport {
  readonly calls: number;
  readonly failedWhileCut: number;
  readonly failedLater: number;
  readonly failures: string;
  readonly achievedRate: number;
  readonly lostPackets: number;
  /** The most nodes that were ejected, and that were `down`, at one time. */
  readonly mostEjected: number;
  readonly mostDown: number;
  readonly wasFailingOpen: boolean;
  /** From the network's return to the first success, and to when each node had one. */
  readonly firstSuccessMs: number;
  readonly allUsedMs: number;
  readonly statesAtEnd: readonly string[];
}

const [how = "", rate = "", protocol] = process.argv.slice(2);
const cutMs = 3_000;
/** From the network's return on, failures are the balancer's. */
const graceMs = 1_000;

await using service = await startService(
  "cut-off",
  5,
  { workMs: 1 },
  { timeouts: { attemptMs: 300, connectMs: 300 } },
  { protocol: protocolNamed(protocol) },
);
const { balancer, backends, recorder } = service;
let mostEjected = 0;
let mostDown = 0;
let wasFailingOpen = false;
const watching = setInterval(() => {
  const states = balancer.nodes.map(({ state }) => state);
  mostEjected = Math.max(mostEjected, states.filter((state) => state === "ejected").length);
  mostDown = Math.max(mostDown, states.filter((state) => state === "down").length);
  wasFailingOpen ||= balancer.failingOpen;
}, 5);

const startedAt = performance.now();
const driving = drive({ ratePerSecond: Number(rate), seconds: 8 }, () => service.call());
await sleep(1_500);
const cutAt = performance.now() - startedAt;
const filter = await (how === "dropped" ? PacketFilter.dropAll() : PacketFilter.refuseAll());
await sleep(cutMs);
const lostPackets = await filter.lift();
const backAt = performance.now();
const succeeded = (address: string): boolean =>
  recorder.endsOn(address).some(({ outcome, at }) => outcome === "success" && at >= backAt);
const firstSuccessMs = await until(
  "a success",
  () => backends.some(({ address }) => succeeded(address)),
  4_000,
);
const allUsedMs =
  firstSuccessMs +
  (await until("a success on each node", () => backends.every(({ address }) => succeeded(address)), 10_000));
const result = await driving;
clearInterval(watching);

const backDueMs = backAt - startedAt;
const report: CutOffReport = {
  calls: result.calls.length,
  failedWhileCut: result.failed.filter(({ dueMs }) => dueMs < backDueMs).length,
  failedLater: result.failed.filter(({ dueMs }) => dueMs < cutAt - 500 || dueMs >= backDueMs + graceMs)
    .length,
  failures: result.describeFailures(),
  achievedRate: result.achievedRate,
  lostPackets,
  mostEjected,
  mostDown,
  wasFailingOpen,
  firstSuccessMs,
  allUsedMs,
  statesAtEnd: balancer.nodes.map(({ state }) => state),
};
console.log(JSON.stringify(report));
