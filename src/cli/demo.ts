/** `evenkeel demo`: calls through trouble, live, and what became of them. */
import { playChain } from "./chain-demo/play.ts";
import { leaveNothingBehind } from "./demo/exit-guard.ts";
import { help, readOptions } from "./demo/options.ts";
import { reportOf } from "./demo/report.ts";
import { resultsOf } from "./demo/results.ts";
import { Run } from "./demo/run.ts";
import { showRun } from "./demo/view.ts";
import { UsageError } from "./usage.ts";

/** @returns 0 if no call through Evenkeel failed, else 1. @throws UsageError */
export async function demo(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options === undefined) {
    process.stdout.write(help);
    return 0;
  }
  if (process.platform === "win32")
    throw new UsageError("the demo freezes processes, which Windows cannot do");
  leaveNothingBehind();
  if (options.chain) return playChain(options);
  if (!options.json) process.stdout.write("Starting service processes ...\n");
  const run = await Run.start(options);
  const view = showRun(run);
  try {
    await run.play(() => view.phaseBegan());
  } finally {
    view.close();
    await run.stop();
  }
  const results = resultsOf(run);
  process.stdout.write(options.json ? `${JSON.stringify(results, null, 2)}\n` : reportOf(results));
  return results.exitCode;
}
