/** What shows a chain run while it lasts: on a terminal live, else each phase as it begins, or nothing. */
import { isLive, openScreen } from "../demo/screen.ts";
import { integer } from "../demo/table.ts";
import type { View } from "../demo/view.ts";
import type { ChainRun } from "./chain-run.ts";
import { chainFrameOf } from "./frame.ts";
import { chainPhases } from "./phases.ts";

const lineMs = 2_000;

/** With `--json` standard output is for the results alone. */
export function showChainRun(run: ChainRun): View {
  const { json } = run.options;
  const stream = json ? process.stderr : process.stdout;
  if (isLive(stream)) {
    const screen = openScreen(stream, (now, paint) => chainFrameOf(run, now, paint));
    return { phaseBegan: () => screen.draw(), close: () => screen.close() };
  }
  return json ? { phaseBegan() {}, close() {} } : showPlainly(run, (text) => stream.write(text));
}

function showPlainly(run: ChainRun, write: (text: string) => void): View {
  write(`The chains are processes ${run.pids.join(", ")}\n`);
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - run.startedAt) / 1_000);
    const counts = run.lanes.map(
      ({ name, withC, withoutC }) =>
        `${name}: ${integer(withoutC.failed)} of ${integer(withoutC.calls)} failed without C, ${integer(withC.failed)} of ${integer(withC.calls)} with C`,
    );
    write(`  ${String(seconds).padStart(3)} s  ${counts.join("; ")}\n`);
  }, lineMs);
  return {
    phaseBegan() {
      const { phase } = run;
      write(
        `Phase ${chainPhases.indexOf(phase) + 1} of ${chainPhases.length}: ${phase.title}. ${phase.story}\n`,
      );
    },
    close() {
      clearInterval(timer);
    },
  };
}
