/** Consul in numbers: how soon a change is used, and what watching costs. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { consul } from "../../src/discovery/consul.ts";
import { Balancer } from "../../src/index.ts";
import { runChild } from "../support/child.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { until } from "../support/until.ts";
import type { CostReport } from "./support/cost-report.ts";
import { describeWith } from "./support/describe-with.ts";
import { type ConsulServer, startConsul } from "./support/servers.ts";

function put(server: ConsulServer, number: number): Promise<string> {
  const body = { Name: "orders", ID: `o${number}`, Address: `10.0.1.${number}`, Port: 80 };
  return server.call("PUT", "/v1/agent/service/register", body);
}

describeWith(["consul"], "Consul in numbers", () => {
  it("shows a change to a balancer within 50 ms in the median", async () => {
    await using server = await startConsul();
    await using orders = new Balancer({ name: "orders", discovery: consul({ address: server.url }) });
    await put(server, 250);
    await until("there is a node", () => orders.nodes.length === 1, 10_000);
    const has = (number: number): boolean =>
      orders.nodes.some(({ address }) => address === `http://10.0.1.${number}`);
    const added: number[] = [];
    const removed: number[] = [];
    for (let number = 1; number <= 40; number++) {
      // Alone, so that the guard has nothing to merge it with.
      await sleep(250);
      const startedAt = performance.now();
      await put(server, number);
      await until(`${number} is a node`, () => has(number), 5_000);
      added.push(performance.now() - startedAt);
      await sleep(250);
      const removedAt = performance.now();
      await server.call("PUT", `/v1/agent/service/deregister/o${number}`);
      await until(`${number} is no node`, () => !has(number), 5_000);
      removed.push(performance.now() - removedAt);
    }
    const [median, medianRemoved] = [percentile(added, 0.5), percentile(removed, 0.5)];
    printFigure(
      "consul",
      `from the start of a registration to the node being pickable: median ${ms(median)} (pass: 50 ms)`,
      `99th percentile ${ms(percentile(added, 0.99))}`,
      `to being gone, which is confirmed: median ${ms(medianRemoved)} (pass: 50 ms)`,
    );
    expect(median).toBeLessThanOrEqual(50);
    expect(medianRemoved).toBeLessThanOrEqual(50);
  }, 120_000);

  it("needs no more memory after many changes, and no CPU while nothing happens", async () => {
    await using server = await startConsul();
    const { report } = await runChild<CostReport>("../registries/support/consul-cost-program.ts", {
      arguments: [server.url],
      nodeOptions: ["--expose-gc"],
      // Half a minute on a machine of its own.
      limitMs: 280_000,
    });
    const { changes, heapKib, idleServices, idleMs, idleCpuMs } = report;
    printFigure(
      "consul",
      `the heap grew by ${count(heapKib)} KiB over ${count(changes)} changes (pass: 1,024)`,
      `watching ${idleServices} idle services used ${ms(idleCpuMs)} of CPU in ${ms(idleMs)} (pass: ${ms(idleMs / 100)})`,
    );
    expect(heapKib).toBeLessThan(1_024);
    // A hundredth of a core, most of which is what the process does anyway.
    expect(idleCpuMs).toBeLessThan(idleMs / 100);
  }, 300_000);
});
