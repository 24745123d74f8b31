/** Fault 4: connecting to one node gets no answer at all: its SYNs are dropped, in a network of the test's own. */
import { expect, test } from "vitest";
import { runChild } from "../support/child.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { http1 } from "../support/protocols.ts";
import type { UnreachedReport } from "../support/unreached-program.ts";

const rate = 100;
const connectMs = 200;
const mostAddedMs = 300;

const cases = [http1].flatMap((protocol) => [
  { protocol, policy: "leastCost", ejects: false },
  // Blind to load and latency: here ejection is all that keeps calls away.
  { protocol, policy: "roundRobin", ejects: true },
]);

test.for(cases)(
  "a node that answers no SYN costs a call connectMs and a retry under $policy over $protocol.name, and fails none",
  async ({ protocol, policy, ejects }) => {
    const { report } = await runChild<UnreachedReport>("unreached-program.ts", {
      ownNetwork: true,
      arguments: [String(rate), String(connectMs), policy, protocol.name],
      limitMs: 40_000,
    });
    const addedMs = report.slowestMs - report.healthySlowestMs;
    printFigure(
      `4 SYN blackhole, ${policy}, ${protocol.name}`,
      `${report.failed} of ${count(report.calls)} failed (pass: 0)`,
      `the slowest call took ${ms(addedMs)} more than the slowest of the healthy run (pass: ${ms(mostAddedMs)})`,
      `${report.unconnected} attempts found no connection within ${ms(connectMs)}, ${report.droppedPackets} SYNs were dropped`,
      `state of the node: ${report.stateWhileDropped}, used again later: ${report.cameBack}`,
      `${count(report.achievedRate)} calls/s`,
    );
    expect(report.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(report.droppedPackets).toBeGreaterThan(0);
    expect(report.unconnected).toBeGreaterThan(0);
    expect(report.failed, report.failures).toBe(0);
    // The mark, and what the machine adds to a healthy call it may add to one that is tried twice.
    expect(addedMs).toBeLessThanOrEqual(mostAddedMs + Math.max(200, 2 * report.healthySlowestMs));
    // What leastCost() learnt of it, it forgets in its own time.
    if (ejects) {
      expect(report.stateWhileDropped).not.toBe("ready");
      expect(report.cameBack).toBe(true);
    }
  },
);
