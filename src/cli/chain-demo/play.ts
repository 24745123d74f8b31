/** `evenkeel demo --chain`: A calls B, B calls C, and C freezes. */
import type { DemoOptions } from "../demo/options.ts";
import { ChainRun } from "./chain-run.ts";
import { chainReportOf } from "./report.ts";
import { chainResultsOf } from "./results.ts";
import { showChainRun } from "./view.ts";

/** @returns 0 if no call through Evenkeel failed that does not need C, else 1. */
export async function playChain(options: DemoOptions): Promise<number> {
  if (!options.json) process.stdout.write("Starting the processes of A, B and C ...\n");
  const run = await ChainRun.start(options);
  const view = showChainRun(run);
  try {
    await run.play(() => view.phaseBegan());
  } finally {
    view.close();
    await run.stop();
  }
  const results = chainResultsOf(run);
  process.stdout.write(options.json ? `${JSON.stringify(results, null, 2)}\n` : chainReportOf(results));
  return results.exitCode;
}
