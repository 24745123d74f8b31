/**
 * Shows a run on a terminal while it lasts.
 *
 * It draws on the alternate screen, from the top each time: whatever the user does to the window, the next frame is
 * whole, and the terminal's own text is back afterwards.
 */

import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import { restoreAtExit } from "./exit-guard.ts";
import { frameOf, type Paint } from "./frame.ts";
import { Rates } from "./rates.ts";
import type { Run } from "./run.ts";
import { clip } from "./table.ts";
import type { View } from "./view.ts";

/** Fast enough to look alive; drawing takes time from the calls. */
const frameMs = 250;

const enter = "\x1b[?1049h\x1b[?25l";
const leave = "\x1b[?25h\x1b[?1049l";
const home = "\x1b[H";
const clearLine = "\x1b[K";
const clearBelow = "\x1b[J";

export function showLive(run: Run, stream: WriteStream): View {
  const rates = new Map(run.lanes.map((lane) => [lane, new Rates(lane.client.attempts)]));
  // It heeds NO_COLOR, and what the terminal can do.
  const paint: Paint = (colour, text) => styleText(colour, text, { stream });

  const draw = (): void => {
    const now = performance.now();
    for (const sampled of rates.values()) sampled.sample(now);
    // One row less than there are: writing the last column of the last row scrolls on some terminals.
    const lines = frameOf(run, rates, now, paint).slice(0, Math.max(1, stream.rows - 1));
    stream.write(
      home + lines.map((line) => `${clip(line, stream.columns)}${clearLine}\n`).join("") + clearBelow,
    );
  };

  stream.write(enter);
  const restore = restoreAtExit(() => stream.write(leave));
  const timer = setInterval(draw, frameMs);
  stream.on("resize", draw);
  return {
    phaseBegan: draw,
    close() {
      clearInterval(timer);
      stream.off("resize", draw);
      restore();
    },
  };
}
