/** What is left of a client that is closed while etcd owes it an answer: nothing that keeps the process alive. */
import { expect, it } from "vitest";
import { runChild } from "../support/child.ts";
import { DeafListener } from "../support/deaf-listener.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import type { ClosingReport } from "./support/etcd-closing-program.ts";
import { startEtcd } from "./support/servers.ts";

/** The wall clock, as it is about time: connecting may take 3 s and a call 5, and the process must not wait for them. */
const livedOnLimitMs = 1_500;

function close(...parameters: readonly string[]): Promise<{ readonly report: ClosingReport }> {
  return runChild<ClosingReport>("../registries/support/etcd-closing-program.ts", {
    arguments: parameters,
    limitMs: 30_000,
  });
}

describeEtcd("closing a client of etcd", (binary) => {
  it.concurrent("waits for no connection that is being made", async () => {
    await using listener = await DeafListener.start();
    const { report } = await close(listener.address);
    expect(report.livedOnMs).toBeLessThan(livedOnLimitMs);
  });

  it.concurrent("waits for no answer of a member that hangs", async () => {
    await using server = await startEtcd({ binary });
    const { report } = await close(server.address, String(server.pid));
    server.thaw();
    expect(report.livedOnMs).toBeLessThan(livedOnLimitMs);
  });
});
