/**
 * Draws on a terminal while something runs.
 *
 * It draws on the alternate screen, from the top each time: whatever the user does to the window, the next frame is
 * whole, and the terminal's own text is back afterwards.
 */

import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import { restoreAtExit } from "./exit-guard.ts";
import { clip } from "./table.ts";

export type Colour = "bold" | "dim" | "red" | "green" | "yellow";
export type Paint = (colour: Colour, text: string) => string;

/** What is shown at one moment, as lines. */
export type Frame = (now: number, paint: Paint) => readonly string[];

export interface Screen {
  draw(): void;
  close(): void;
}

/** Fast enough to look alive; drawing takes time from the calls. */
const frameMs = 250;

const enter = "\x1b[?1049h\x1b[?25l";
const leave = "\x1b[?25h\x1b[?1049l";
const home = "\x1b[H";
const clearLine = "\x1b[K";
const clearBelow = "\x1b[J";

export function openScreen(stream: WriteStream, frame: Frame): Screen {
  // It heeds NO_COLOR, and what the terminal can do.
  const paint: Paint = (colour, text) => styleText(colour, text, { stream });

  const draw = (): void => {
    // One row less than there are: writing the last column of the last row scrolls on some terminals.
    const lines = frame(performance.now(), paint).slice(0, Math.max(1, stream.rows - 1));
    stream.write(
      home + lines.map((line) => `${clip(line, stream.columns)}${clearLine}\n`).join("") + clearBelow,
    );
  };

  stream.write(enter);
  const restore = restoreAtExit(() => stream.write(leave));
  const timer = setInterval(draw, frameMs);
  stream.on("resize", draw);
  return {
    draw,
    close() {
      clearInterval(timer);
      stream.off("resize", draw);
      restore();
    },
  };
}

/** A dumb terminal cannot move its cursor; one without a size (a serial line) cannot be drawn on. */
export function isLive(stream: WriteStream): boolean {
  return stream.isTTY && process.env.TERM !== "dumb" && stream.columns > 0 && stream.rows > 0;
}
