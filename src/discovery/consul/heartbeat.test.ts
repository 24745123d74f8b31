/** Tests of the heartbeat's schedule, in virtual time. */
import { describe, expect, it } from "vitest";
import { Heartbeat } from "./heartbeat.ts";

describe("Heartbeat", () => {
  it("registers and passes its check at once, and again at each third of the TTL", () => {
    const heartbeat = new Heartbeat(15_000, () => 0, 100);
    expect([heartbeat.step, heartbeat.dueAt]).toEqual(["register", 100]);
    heartbeat.succeeded(150);
    expect([heartbeat.step, heartbeat.dueAt]).toEqual(["pass", 150]);
    heartbeat.succeeded(200);
    expect([heartbeat.step, heartbeat.dueAt]).toEqual(["pass", 5_200]);
    heartbeat.succeeded(5_200);
    expect([heartbeat.step, heartbeat.dueAt]).toEqual(["pass", 10_200]);
  });

  it("comes up to a tenth earlier by chance, never later", () => {
    const heartbeat = new Heartbeat(15_000, () => 0.999, 0);
    heartbeat.succeeded(0);
    heartbeat.succeeded(0);
    expect(heartbeat.dueAt).toBeGreaterThan(4_500);
    expect(heartbeat.dueAt).toBeLessThan(5_000);
  });

  it("registers again when its check is unknown", () => {
    const heartbeat = new Heartbeat(15_000, () => 0.5, 0);
    heartbeat.succeeded(0);
    heartbeat.missing(5_000);
    expect([heartbeat.step, heartbeat.dueAt]).toEqual(["register", 5_050]);
    heartbeat.succeeded(5_050);
    expect(heartbeat.step).toBe("pass");
  });

  it("tries a failed step again, ever later, but not later than the next heartbeat would be due", () => {
    const heartbeat = new Heartbeat(15_000, () => 1, 0);
    heartbeat.succeeded(0);
    const pauses = Array.from({ length: 8 }, () => {
      heartbeat.failed(0);
      return heartbeat.dueAt;
    });
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    expect(heartbeat.step).toBe("pass");
    heartbeat.succeeded(0);
    heartbeat.failed(0);
    expect(heartbeat.dueAt).toBe(100);
  });
});
