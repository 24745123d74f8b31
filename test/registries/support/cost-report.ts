/** What the programs that measure a source's cost have in common: the heap, idle watches, and the report they print. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Discovery } from "../../../src/core/contracts.ts";

export interface CostReport {
  readonly changes: number;
  /** By how much the heap grew over the changes. */
  readonly heapKib: number;
  /** How many services were watched while nothing happened, for how long, and what the whole process used meanwhile. */
  readonly idleServices: number;
  readonly idleMs: number;
  readonly idleCpuMs: number;
}

const idleServices = 10;
const idleMs = 10_000;

/** What the heap holds once garbage is collected; needs `--expose-gc`. */
export async function heapBytes(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error("run with --expose-gc");
  for (let pass = 0; pass < 4; pass++) {
    await sleep(50);
    await globalThis.gc();
  }
  return process.memoryUsage().heapUsed;
}

/** For a context: nothing may go wrong while costs are measured. */
export function throwIt(error: unknown): never {
  throw error;
}

/** Watches ten services that nobody registers, for 10 s from when all have answered. */
export async function measureIdle(
  client: Discovery,
): Promise<Pick<CostReport, "idleServices" | "idleMs" | "idleCpuMs">> {
  const end = new AbortController();
  let answered = 0;
  const watches = Array.from({ length: idleServices }, async (_, number) => {
    const context = { service: `service-${number}`, signal: end.signal, report: throwIt };
    for await (const _set of client.watch(context)) answered++;
  });
  while (answered < idleServices) await sleep(50);
  await sleep(1_000);
  const before = process.cpuUsage();
  await sleep(idleMs);
  const { user, system } = process.cpuUsage(before);
  end.abort();
  await Promise.all(watches);
  return { idleServices, idleMs, idleCpuMs: (user + system) / 1_000 };
}
