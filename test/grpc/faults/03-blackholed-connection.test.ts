/** Fault 3 over gRPC: a live connection goes dead without a word, as when a host loses its power or a firewall forgets. */
import { expect, test } from "vitest";
import { runChild } from "../../support/child.ts";
import { count, ms, printFigure } from "../../support/figure.ts";
import type { BlackholedSystem, BlackholeReport } from "../support/blackhole-program.ts";
import { describePeers } from "../support/shop.ts";

/** For each of the three. */
const rate = 150;
const retiredMs = 1_500;

test("a blackholed connection fails no call, and is retired by an unanswered PING and never used again", async () => {
  const { report } = await runChild<BlackholeReport>("../grpc/support/blackhole-program.ts", {
    ownNetwork: true,
    arguments: [String(rate)],
    limitMs: 40_000,
  });
  const { ours, plain, hardened } = report;
  printFigure(
    "3 blackholed connection over gRPC",
    `${ours.failed} of ${count(ours.calls)} failed (pass: 0), ${ours.begun} of them in the midst of an answer, slowest ${ms(ours.slowestMs)}`,
    `its connection was retired ${retired(ours)} (pass: ${ms(retiredMs)})`,
    `${report.inflight} calls were in flight on it, ${report.cut} ended with it`,
    `${report.droppedPackets} packets vanished`,
    `calls sent to it afterwards: ${report.late} (pass: 0)`,
    `calls it answered later: ${report.answeredLater}, over a new connection`,
    describePeers({ plain: describe(plain), hardened: describe(hardened) }),
  );
  expect(report.inflight, "calls that the fault hit").toBeGreaterThanOrEqual(2);
  expect(report.cut, "calls that ended with the connection").toBeGreaterThanOrEqual(2);
  expect(report.droppedPackets).toBeGreaterThan(0);
  expect(plain.failed, "calls of round_robin that the fault hit").toBeGreaterThanOrEqual(2);
  // What has begun to be answered nobody may send again.
  expect(ours.failed - ours.begun, ours.failures).toBe(0);
  expect(ours.begun, "calls that the node vanished under").toBeLessThanOrEqual(report.inflight);
  // The mark, and what a busy machine adds.
  expect(ours.retiredMs ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(retiredMs + 500);
  expect(report.late).toBe(0);
  expect(report.answeredLater).toBeGreaterThan(0);
  expect(ours).toMatchObject({ oldConnections: 0, newConnections: 1 });
  // Without keepalive it is still there, and is used as if nothing had been.
  expect(plain).toMatchObject({ retiredMs: null, oldConnections: 1, newConnections: 0 });
});

function retired({ retiredMs: after }: BlackholedSystem): string {
  return after === null ? "never" : `after ${ms(after)}`;
}

function describe(system: BlackholedSystem): string {
  return `${system.failed} of ${count(system.calls)} failed, connection retired ${retired(system)}`;
}
