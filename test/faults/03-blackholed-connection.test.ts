/** Fault 3: a live connection goes dead without a word, as when a host loses its power or a firewall forgets. */
import { expect, test } from "vitest";
import type { BlackholeReport } from "../support/blackhole-program.ts";
import { runChild } from "../support/child.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { isMultiplexed, protocols } from "../support/protocols.ts";

const rate = 300;
const retiredMs = 1_500;

test.for(protocols)(
  "a blackholed connection over $name fails no call, and is given up and never used again",
  async (protocol) => {
    // Only HTTP/2 has a PING; over HTTP/1.1 the attempt's own time ends each connection that is used.
    const attemptMs = isMultiplexed(protocol) ? 10_000 : 500;
    const { report } = await runChild<BlackholeReport>("blackhole-program.ts", {
      ownNetwork: true,
      arguments: [String(rate), protocol.name, String(attemptMs)],
      limitMs: 40_000,
    });
    printFigure(
      `3 blackholed connection, ${protocol.name}`,
      `${report.failed} of ${count(report.calls)} failed (pass: 0)`,
      `${report.connections} connections given up ${report.retiredMs === null ? "never" : `after ${ms(report.retiredMs)}`} (pass: ${isMultiplexed(protocol) ? ms(retiredMs) : "no mark"})`,
      `${report.inflight} calls were in flight on them, slowest call ${ms(report.slowestMs)}`,
      `${report.droppedPackets} packets vanished`,
      `attempts that found no connection afterwards: ${report.unconnected}`,
      `calls it answered later: ${report.answeredLater}, over ${report.newConnections} new connections`,
      `${count(report.achievedRate)} calls/s`,
    );
    expect(report.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(report.inflight, "calls that the fault hit").toBeGreaterThan(0);
    expect(report.droppedPackets).toBeGreaterThan(0);
    expect(report.failed, report.failures).toBe(0);
    expect(report.answeredLater).toBeGreaterThan(0);
    // Whatever it answers later comes over connections that were made later: the old ones were not used again.
    expect(report.newConnections).toBeGreaterThan(0);
    if (!isMultiplexed(protocol)) return;
    expect(report.connections).toBeGreaterThan(0);
    expect(report.retiredMs ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(retiredMs);
  },
);
