/** What shows a run while it lasts: on a terminal live, else in plain lines, or not at all. */
import type { WriteStream } from "node:tty";
import { showLive } from "./live-view.ts";
import { showPlain } from "./plain-view.ts";
import type { Run } from "./run.ts";

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

/** A dumb terminal cannot move its cursor; one without a size (a serial line) cannot be drawn on. */
function isLive(stream: WriteStream): boolean {
  return stream.isTTY && process.env.TERM !== "dumb" && stream.columns > 0 && stream.rows > 0;
}
