/** Nacos in numbers: how soon a change is used, and what watching costs. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { nacos } from "../../src/discovery/nacos.ts";
import { Balancer } from "../../src/index.ts";
import { runChild } from "../support/child.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { until } from "../support/until.ts";
import type { CostReport } from "./support/cost-report.ts";
import { describeWith } from "./support/describe-with.ts";
import { host, ScriptedNacos } from "./support/scripted-nacos.ts";
import { startNacos } from "./support/servers.ts";

/** How long each of `rounds` further instances takes to be a node of a balancer, in milliseconds. */
async function measure(
  address: string,
  rounds: number,
  put: (number: number) => Promise<void>,
): Promise<readonly number[]> {
  await using orders = new Balancer({ name: "orders", discovery: nacos({ servers: address }) });
  const has = (number: number): boolean =>
    orders.nodes.some((node) => node.address === `http://10.0.0.${number}:8080`);
  const durations: number[] = [];
  for (let number = 1; number <= rounds; number++) {
    const startedAt = performance.now();
    await put(number);
    await until(`${number} is a node`, () => has(number), 10_000);
    durations.push(performance.now() - startedAt);
    // Alone, so that the guard has nothing to merge it with.
    await sleep(250);
  }
  // The first one waits for the connection.
  return durations.slice(1);
}

describe("the watch of Nacos in numbers", () => {
  it("shows a push to a balancer within 50 ms in the median", async () => {
    await using server = await ScriptedNacos.start();
    const durations = await measure(server.address, 41, async (number) => {
      server.publish(Array.from({ length: number }, (_, at) => host(at + 1)));
    });
    const median = percentile(durations, 0.5);
    printFigure(
      "nacos",
      `from a push to the node being pickable: median ${ms(median)} (pass: 50 ms)`,
      `99th percentile ${ms(percentile(durations, 0.99))}`,
    );
    expect(median).toBeLessThanOrEqual(50);
  }, 60_000);
});

describeWith(["rnacos"], "Nacos in numbers", () => {
  it("shows a change to a balancer as soon as the server pushes it", async () => {
    await using server = await startNacos();
    const registry = nacos({ servers: server.address });
    const context = { service: "orders", signal: new AbortController().signal, report: () => {} };
    const registrations: AsyncDisposable[] = [];
    const durations = await measure(server.address, 21, async (number) => {
      const instance = { service: "orders", id: String(number), address: `http://10.0.0.${number}:8080` };
      registrations.push(await registry.register(instance, context));
    });
    for (const each of registrations) await each[Symbol.asyncDispose]();
    printFigure(
      "nacos",
      `from the start of a registration to the node being pickable: median ${ms(percentile(durations, 0.5))}`,
      "r-nacos holds each push back for 0.5 to 1 s, to send several changes at once",
    );
    expect(durations).toHaveLength(20);
  }, 120_000);

  it("needs no more memory after many changes, and no CPU while nothing happens", async () => {
    await using server = await startNacos();
    const { report } = await runChild<CostReport>("../registries/support/nacos-cost-program.ts", {
      arguments: [server.address],
      nodeOptions: ["--expose-gc"],
      // Half a minute on a machine of its own.
      limitMs: 280_000,
    });
    const { changes, heapKib, idleServices, idleMs, idleCpuMs } = report;
    printFigure(
      "nacos",
      `the heap grew by ${count(heapKib)} KiB over ${count(changes)} changes (pass: 1,024)`,
      `watching ${idleServices} idle services used ${ms(idleCpuMs)} of CPU in ${ms(idleMs)} (pass: ${ms(idleMs / 100)})`,
    );
    expect(heapKib).toBeLessThan(1_024);
    // A hundredth of a core, most of which is what the process does anyway.
    expect(idleCpuMs).toBeLessThan(idleMs / 100);
  }, 300_000);
});
