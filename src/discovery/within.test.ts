/** Tests of waiting with a limit. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { within } from "./within.ts";

const never = new Promise<never>(() => {});

describe("within", () => {
  it("gives what comes in time, and leaves no timer", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    expect(await within(7, 10, signal, clock)).toBe(7);
    await expect(within(Promise.reject(new Error("no")), 10, signal, clock)).rejects.toThrow("no");
    expect(clock.pendingTimers).toBe(0);
  });

  it("ends with the time", async () => {
    const clock = new ManualClock();
    const ended = expect(within(never, 10, new AbortController().signal, clock)).rejects.toThrow(
      "within 10 ms",
    );
    await clock.advanceAsync(10);
    await ended;
  });

  it("ends with the signal, also with one that was aborted before", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const waiting = within(never, 10, controller.signal, clock);
    controller.abort(new Error("closing"));
    await expect(waiting).rejects.toThrow("closing");
    await expect(within(never, 10, controller.signal, clock)).rejects.toThrow("closing");
    expect(clock.pendingTimers).toBe(0);
  });
});
