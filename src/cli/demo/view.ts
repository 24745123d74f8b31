/** What shows a run while it lasts: on a terminal live, else in plain lines, or not at all. */
import { showLive } from "./live-view.ts";
import { showPlain } from "./plain-view.ts";
import type { Run } from "./run.ts";
import { isLive } from "./screen.ts";

export interface View {
  phaseBegan(): void;
  close(): void;
}

const nothing: View = { phaseBegan() {}, close() {} };

/** With `--json` standard output is for the results alone. */
export function showRun(run: Run): View {
  const { json } = run.options;
  const stream = json ? process.stderr : process.stdout;
  if (isLive(stream)) return showLive(run, stream);
  return json ? nothing : showPlain(run, (text) => stream.write(text));
}
