/** Tests after which ends of connections there is a pause. */
import { expect, it } from "vitest";
import { ReconnectPause } from "./reconnect-pause.ts";

it("has none after one that lasted, that was used, or that is the first of no use", () => {
  const pause = new ReconnectPause();
  pause.stood(0);
  expect(pause.afterEnd(false, 1_000)).toBe(0);
  pause.stood(1_001);
  expect(pause.afterEnd(false, 1_002)).toBe(0);
  pause.stood(1_010);
  expect(pause.afterEnd(true, 1_011)).toBe(0);
});

it("lets a peer that closes what it accepts be connected to twice a second", () => {
  const pause = new ReconnectPause();
  const roundTripMs = 2;
  let now = 0;
  let connections = 0;
  while (now < 60_000) {
    pause.stood(now);
    connections++;
    now += roundTripMs;
    now += pause.afterEnd(false, now) + roundTripMs;
  }
  expect(connections).toBeGreaterThan(60);
  expect(connections).toBeLessThanOrEqual(120);
});

it("has none where each connection ends by its age, used or not", () => {
  const pause = new ReconnectPause();
  for (let now = 0; now < 10_000; now += 600) {
    pause.stood(now);
    expect(pause.afterEnd(false, now + 599)).toBe(0);
  }
});
