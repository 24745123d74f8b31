/** Fault 36: all nodes fail at once, since it is the caller's network that is gone. */
import { expect, test } from "vitest";
import { runChild } from "../support/child.ts";
import type { CutOffReport } from "../support/cut-off-program.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { h2c, http1 } from "../support/protocols.ts";

const rate = 200;
const nodes = 5;
const mostEjected = Math.floor(nodes / 2);

const cases = [http1, h2c].flatMap((protocol) => [
  { protocol, how: "dropped", what: "every packet is dropped" },
  { protocol, how: "refused", what: "there is no way to any of them" },
]);

test.for(cases)(
  "while $what, no more than the cap is ejected, and all are back at once when it returns, over $protocol.name",
  async ({ protocol, how, what }) => {
    const { report } = await runChild<CutOffReport>("cut-off-program.ts", {
      ownNetwork: true,
      arguments: [how, String(rate), protocol.name],
      limitMs: 40_000,
    });
    printFigure(
      `36 caller cut off, ${what}, ${protocol.name}`,
      `most nodes ejected at once: ${report.mostEjected} (pass: ${mostEjected})`,
      `first success ${ms(report.firstSuccessMs)} after the return, all nodes used after ${ms(report.allUsedMs)} (pass: at once)`,
      `failed more than 1 s later: ${report.failedLater} (pass: 0)`,
      `${report.failedWhileCut} of ${count(report.calls)} calls failed while it was gone`,
      `most nodes down at once: ${report.mostDown}, failing open: ${report.wasFailingOpen}`,
      `${count(report.lostPackets)} packets were lost`,
      `states at the end: ${report.statesAtEnd.join(" ")}`,
      `${count(report.achievedRate)} calls/s`,
    );
    expect(report.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(report.failedWhileCut, "calls that the cut hit").toBeGreaterThan(rate);
    expect(report.lostPackets).toBeGreaterThan(0);
    expect(report.mostEjected).toBeLessThanOrEqual(mostEjected);
    // At once, but for connections that were being made and the machine's own pauses.
    expect(report.firstSuccessMs).toBeLessThanOrEqual(500);
    expect(report.allUsedMs).toBeLessThanOrEqual(2_000);
    expect(report.failedLater, report.failures).toBe(0);
  },
);
