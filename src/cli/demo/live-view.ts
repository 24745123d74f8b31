/** Shows a run on a terminal while it lasts. */
import type { WriteStream } from "node:tty";
import { frameOf } from "./frame.ts";
import { Rates } from "./rates.ts";
import type { Run } from "./run.ts";
import { openScreen } from "./screen.ts";
import type { View } from "./view.ts";

export function showLive(run: Run, stream: WriteStream): View {
  const rates = new Map(run.lanes.map((lane) => [lane, new Rates(lane.client.attempts)]));
  const screen = openScreen(stream, (now, paint) => {
    for (const sampled of rates.values()) sampled.sample(now);
    return frameOf(run, rates, now, paint);
  });
  return { phaseBegan: () => screen.draw(), close: () => screen.close() };
}
