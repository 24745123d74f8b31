/** Closes a watch while etcd owes it an answer, and tells how long the process then lives on. */
import { setTimeout as sleep } from "node:timers/promises";
import { etcd } from "../../../src/discovery/etcd.ts";

export interface ClosingReport {
  /** From the abort to the end of the process. */
  readonly livedOnMs: number;
}

/** The member, and the process that is to hang once it has given a first list; without one it never says anything. */
const [, , endpoint, pid] = process.argv;
if (endpoint === undefined) throw new Error("run with an address, and perhaps etcd's process");

const client = etcd({ endpoints: endpoint });
const controller = new AbortController();
const { signal } = controller;

/** Resolves with the first set; goes on watching. */
function watch(service: string): Promise<void> {
  return new Promise((resolve) => {
    void (async () => {
      for await (const _ of client.watch({ service, signal, report: () => {} })) resolve();
    })();
  });
}

const first = watch("orders");
if (pid !== undefined) {
  await first;
  process.kill(Number(pid), "SIGSTOP");
  void watch("users");
}
// So that what is asked for is on its way.
await sleep(200);
const abortedAt = performance.now();
process.once("exit", () => {
  const report: ClosingReport = { livedOnMs: performance.now() - abortedAt };
  process.stdout.write(JSON.stringify(report));
});
controller.abort();
