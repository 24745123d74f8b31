/** Tests when a silent HTTP/2 peer is held to be gone, in virtual time. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import type { Connection } from "./connection.ts";
import { Heartbeat } from "./heartbeat.ts";

/** A connection as far as a heartbeat sees it. */
class FakeConnection {
  state = "usable";
  isAttached = true;
  heardAt = 0;
  suspectSince: number | undefined = undefined;
  destroyedWith: Error | undefined = undefined;
  /** Something has arrived since the last look. */
  arrived = false;

  listen(now: number): boolean {
    if (!this.arrived) return false;
    this.arrived = false;
    this.heardAt = now;
    return true;
  }

  destroy(error: Error): void {
    this.destroyedWith = error;
    this.state = "gone";
  }
}

function start(pingMs = 500, pingTimeoutMs = 500) {
  const clock = new ManualClock();
  const died: unknown[] = [];
  const heard: unknown[] = [];
  const heartbeat = new Heartbeat(pingMs, pingTimeoutMs, clock, {
    died: (connection) => died.push(connection),
    heard: (connection) => heard.push(connection),
  });
  const connection = new FakeConnection();
  connection.heardAt = clock.now();
  heartbeat.add(connection as unknown as Connection);
  return { clock, died, heard, heartbeat, connection };
}

describe("Heartbeat", () => {
  it("gives up a peer from which nothing came for a PING and its timeout, and soon after that", () => {
    const { clock, died, connection } = start();
    clock.advance(1_000);
    expect(connection.destroyedWith).toBeUndefined();
    clock.advance(125);
    expect(connection.destroyedWith).toMatchObject({ code: "ERR_PING_TIMEOUT" });
    expect(died).toEqual([connection]);
  });

  it("keeps a peer that is heard once in that time", () => {
    const { clock, connection } = start();
    for (let round = 0; round < 20; round++) {
      clock.advance(900);
      connection.arrived = true;
      clock.advance(100);
    }
    expect(connection.destroyedWith).toBeUndefined();
  });

  it("does not blame a peer while this process stood still", () => {
    const { clock, connection } = start();
    clock.advance(500);
    clock.block(5_000);
    clock.advance(300);
    expect(connection.destroyedWith).toBeUndefined();
    clock.advance(300);
    expect(connection.destroyedWith).toBeDefined();
  });

  it("finds a peer that is gone although this process stands still now and then", () => {
    const { clock, connection } = start();
    for (let round = 0; round < 8; round++) {
      clock.block(200);
      clock.advance(200);
    }
    expect(connection.destroyedWith).toBeDefined();
  });

  it("expects nothing over a connection that was not used yet", () => {
    const { clock, connection } = start();
    connection.isAttached = false;
    clock.advance(10_000);
    expect(connection.destroyedWith).toBeUndefined();
    connection.isAttached = true;
    clock.advance(1_200);
    expect(connection.destroyedWith).toBeDefined();
  });

  it("tells when a suspect is heard after all", () => {
    const { clock, heard, connection } = start();
    connection.suspectSince = clock.now();
    clock.advance(200);
    expect(heard).toEqual([]);
    connection.arrived = true;
    clock.advance(200);
    expect(heard).toContain(connection);
  });

  it("forgets connections that are gone, and then needs no timer", () => {
    const { clock, connection, died } = start();
    connection.state = "gone";
    clock.advance(200);
    expect(clock.pendingTimers).toBe(0);
    clock.advance(5_000);
    expect(died).toEqual([]);
  });

  it("watches nothing when PINGs are switched off, or it is closed", () => {
    const off = start(0);
    off.clock.advance(60_000);
    expect(off.connection.destroyedWith).toBeUndefined();
    const closed = start();
    closed.heartbeat.close();
    closed.clock.advance(60_000);
    expect(closed.connection.destroyedWith).toBeUndefined();
  });
});
