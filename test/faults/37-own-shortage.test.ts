/** Fault 37: the caller runs out of file descriptors, which no node is to blame for. */
import { expect, test } from "vitest";
import { startBackends } from "../../src/testing/backend.ts";
import { runChild } from "../support/child.ts";
import { count, printFigure } from "../support/figure.ts";
import type { ShortageReport } from "../support/shortage-program.ts";

const descriptors = 64;

test("a caller without descriptors ejects no node, and recovers", async () => {
  const backends = await startBackends(3, { workMs: 50, workers: 1_000 });
  try {
    const { report } = await runChild<ShortageReport>("shortage-program.ts", {
      descriptors,
      arguments: backends.map(({ address }) => address),
      limitMs: 50_000,
    });
    printFigure(
      "37 own shortage",
      `ejections: ${report.ejections} (pass: 0)`,
      `${count(report.shortages)} attempts ended as ignored with ${report.codes.join(" ")}`,
      `attempts held against nodes: ${report.blamed.length} (pass: 0)`,
      `${report.failed} of ${count(report.calls)} calls failed with ${descriptors} descriptors for them`,
      `failed afterwards: ${report.failedAfter} of ${count(report.callsAfter)} (pass: 0)`,
    );
    expect(report.shortages).toBeGreaterThan(0);
    expect(report.codes).toContain("EMFILE");
    expect(report.blamed).toEqual([]);
    expect(report.ejections).toBe(0);
    expect(report.failed, report.errors.join("; ")).toBeLessThan(report.calls);
    expect(report.failedAfter, report.errorsAfter.join("; ")).toBe(0);
  } finally {
    await Promise.all(backends.map((backend) => backend.kill()));
  }
});
