/** One system through one fault: its own processes, a steady load, and what became of the calls. */
import { setTimeout as sleep } from "node:timers/promises";
import { type DriveResult, drive } from "../../test/support/drive.ts";
import { Fleet } from "./instance.ts";
import {
  type Fault,
  faultSeconds,
  healthySeconds,
  nodes,
  ratePerSecond,
  recoverySeconds,
  totalMs,
  warmUpSeconds,
} from "./plan.ts";
import type { Caller, System } from "./system.ts";

export interface Run {
  readonly result: DriveResult;
  /** Of the requests sent while the fault lasted, those that the bad node was to take. */
  readonly badShare: number;
}

/** After its total timeout a call is given this long to say so; then it counts as hung, and is waited for no more. */
const graceMs = 500;
const closeMs = 1_000;
/** A call is due every 2 ms. */
const busyLimitMs = 1_000;

export async function run(system: System, fault: Fault): Promise<Run> {
  await using fleet = await Fleet.start(system.protocol, nodes);
  const caller = await system.open(fleet.addresses);
  try {
    const call = () => within(totalMs + graceMs, caller.call());
    await drive({ ratePerSecond, seconds: warmUpSeconds }, call);
    const seconds = healthySeconds + faultSeconds + recoverySeconds;
    // Together, so that a fault that cannot be brought about ends the run.
    const [result, badShare] = await Promise.all([
      drive({ ratePerSecond, seconds }, call),
      inflict(fault, fleet, caller),
    ]);
    return { result, badShare };
  } finally {
    await within(closeMs, caller.close()).catch(() => undefined);
  }
}

/** @returns the share of the bad node while it was bad. */
async function inflict(fault: Fault, fleet: Fleet, caller: Caller): Promise<number> {
  const startedAt = performance.now();
  await sleep(healthySeconds * 1_000);
  const address = await nextBusy(fleet.addresses, caller);
  const bad = fleet.addresses.indexOf(address);
  await fleet.strike(fault, bad);
  const before = caller.sent();
  const untilMs = (healthySeconds + faultSeconds) * 1_000;
  await sleep(untilMs - (performance.now() - startedAt));
  const after = caller.sent();
  await fleet.end(fault, bad);
  const sent = (node: string) => (after.get(node) ?? 0) - (before.get(node) ?? 0);
  return sent(address) / Array.from(after.keys(), sent).reduce((sum, count) => sum + count, 0);
}

/** The next node that is sent a call: a fault that nobody meets would prove nothing. */
async function nextBusy(addresses: readonly string[], caller: Caller): Promise<string> {
  const limit = performance.now() + busyLimitMs;
  const before = caller.sent();
  for (;;) {
    const now = caller.sent();
    const busy = addresses.find((address) => now.get(address) !== before.get(address));
    if (busy !== undefined) return busy;
    if (performance.now() > limit) throw new Error("no calls are sent while all nodes are healthy");
    await sleep(1);
  }
}

/** @throws Error when `done` has not come after that time. */
async function within(ms: number, done: Promise<unknown>): Promise<void> {
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`hung: no end after ${ms} ms`)), ms);
  try {
    await Promise.race([done, expired]);
  } finally {
    clearTimeout(timer);
  }
}
