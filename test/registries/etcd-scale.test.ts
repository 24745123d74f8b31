/** Ten thousand endpoints, a hundred thousand changes, and nothing at all: what each costs. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { etcd } from "../../src/discovery/etcd.ts";
import { Balancer } from "../../src/index.ts";
import { runChild } from "../support/child.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { until } from "../support/until.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import type { CostReport } from "./support/etcd-cost-program.ts";
import { instanceEntry, putInstance, putMany, remove } from "./support/etcd-writer.ts";
import { type EtcdServer, startEtcd } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

/** Watches without anything in between, and keeps the last set only. */
function watch(server: EtcdServer): {
  readonly size: () => number;
  readonly sets: () => number;
  close(): void;
} {
  const controller = new AbortController();
  let size = -1;
  let sets = 0;
  const source = etcd({ endpoints: server.address });
  const report = (error: unknown): never => {
    throw error;
  };
  const watching = (async () => {
    for await (const set of source.watch({ service: "orders", signal: controller.signal, report })) {
      size = set.length;
      sets++;
    }
  })();
  return {
    size: () => size,
    sets: () => sets,
    close() {
      controller.abort();
      void watching;
    },
  };
}

describeEtcd(
  "etcd in numbers",
  (binary) => {
    it("shows a change to a balancer within 50 ms in the median", async () => {
      await using server = await startEtcd({ binary });
      await using orders = new Balancer({ name: "orders", discovery: etcd({ endpoints: server.address }) });
      await putInstance(server, "orders", "10.0.0.1:80");
      await orders.ready({ timeoutMs: 10_000 });
      const durations: number[] = [];
      for (let round = 0; round < 40; round++) {
        const address = `10.0.1.${round + 1}:80`;
        // Alone, so that the guard has nothing to merge it with.
        await sleep(150);
        const startedAt = performance.now();
        await putInstance(server, "orders", address);
        await until(
          `${address} is a node`,
          () => orders.nodes.some((node) => node.address === `http://10.0.1.${round + 1}`),
          5_000,
        );
        durations.push(performance.now() - startedAt);
      }
      const median = percentile(durations, 0.5);
      printFigure(
        "etcd",
        `from the start of a put to the node being pickable: median ${ms(median)} (pass: 50 ms)`,
        `99th percentile ${ms(percentile(durations, 0.99))}`,
      );
      expect(median).toBeLessThanOrEqual(50);
    });

    it("lists 10,000 endpoints within 500 ms and shows one change within 50", async () => {
      await using server = await startEtcd({ binary });
      await putMany(
        server,
        Array.from({ length: 10_000 }, (_, index) => instanceEntry(index, 1)),
      );
      // The first use of gRPC in a process compiles its protocol; that is not the list.
      await using warm = new WatchedSet(etcd({ endpoints: server.address }), "nobody", etcdSubject);
      await warm.untilExactly([]);
      const lists: number[] = [];
      const changes: number[] = [];
      for (let round = 0; round < 7; round++) {
        const startedAt = performance.now();
        const orders = watch(server);
        await until("the list is there", () => orders.size() === 10_000, 20_000);
        lists.push(performance.now() - startedAt);
        const added = instanceEntry(10_000, 1);
        const changedAt = performance.now();
        await putMany(server, [added]);
        await until("the change is there", () => orders.size() === 10_001, 5_000);
        changes.push(performance.now() - changedAt);
        await remove(server, added[0]);
        orders.close();
      }
      const [list, change] = [percentile(lists, 0.5), percentile(changes, 0.5)];
      printFigure(
        "etcd",
        `10,000 endpoints listed in ${ms(list)} (pass: 500 ms)`,
        `one change seen in ${ms(change)} (pass: 50 ms)`,
      );
      expect(list).toBeLessThanOrEqual(500);
      expect(change).toBeLessThanOrEqual(50);
    }, 120_000);

    it("needs no more memory after 100,000 changes, and no CPU while nothing happens", async () => {
      await using server = await startEtcd({ binary });
      const { report } = await runChild<CostReport>("../registries/support/etcd-cost-program.ts", {
        arguments: [server.url],
        nodeOptions: ["--expose-gc"],
        limitMs: 170_000,
      });
      const { changes, sets, heapKib, idleCpuMs, idleMs } = report;
      printFigure(
        "etcd",
        `the heap grew by ${count(heapKib)} KiB over ${count(changes)} changes in ${count(sets)} sets (pass: 1,024)`,
        `an idle watch used ${ms(idleCpuMs)} of CPU in ${ms(idleMs)} (pass: 150 ms)`,
      );
      expect(sets).toBeGreaterThan(100);
      expect(heapKib).toBeLessThan(1_024);
      // A hundredth of a core, most of which is what the process does anyway.
      expect(idleCpuMs).toBeLessThan(idleMs / 100);
    }, 180_000);
  },
  { binaries: ["etcd"] },
);
