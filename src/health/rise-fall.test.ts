/** Tests how probes in a row become a verdict. */
import { describe, expect, it } from "vitest";
import { RiseFall } from "./rise-fall.ts";

/** The verdict after each probe, `+` passed and `-` failed; in brackets where the probe did not settle it. */
function verdicts(rise: number, fall: number, probes: string): readonly string[] {
  const counts = new RiseFall({ rise, fall });
  return [...probes].map((probe) => (counts.count(probe === "+") ? counts.verdict : `(${counts.verdict})`));
}

describe("RiseFall", () => {
  it("knows nothing at first, and takes the first passed probe for an answer", () => {
    expect(new RiseFall({ rise: 2, fall: 3 }).verdict).toBe("unknown");
    expect(verdicts(5, 3, "+")).toEqual(["passing"]);
    expect(verdicts(5, 3, "--+")).toEqual(["(unknown)", "(unknown)", "passing"]);
  });

  it("falls after as many failed probes in a row, not before", () => {
    expect(verdicts(1, 3, "+--+---")).toEqual([
      "passing",
      "(passing)",
      "(passing)",
      "passing",
      "(passing)",
      "(passing)",
      "failing",
    ]);
    expect(verdicts(2, 1, "-")).toEqual(["failing"]);
  });

  it("rises after as many passed probes in a row, not before", () => {
    expect(verdicts(3, 1, "-++-+++")).toEqual([
      "failing",
      "(failing)",
      "(failing)",
      "failing",
      "(failing)",
      "(failing)",
      "passing",
    ]);
  });

  it("settles the verdict again with each further probe that agrees", () => {
    expect(verdicts(2, 2, "+++")).toEqual(["passing", "passing", "passing"]);
    expect(verdicts(2, 2, "----")).toEqual(["(unknown)", "failing", "failing", "failing"]);
  });

  it("needs a whole rise again after a failed probe, also while it still passes", () => {
    expect(verdicts(2, 3, "++-++")).toEqual(["passing", "passing", "(passing)", "(passing)", "passing"]);
  });

  it("counts the failed ones for the message", () => {
    const counts = new RiseFall({ rise: 1, fall: 2 });
    for (const passed of [false, false, false]) counts.count(passed);
    expect(counts.failedInARow).toBe(3);
    counts.count(true);
    expect(counts.failedInARow).toBe(0);
  });
});
