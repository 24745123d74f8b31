/** Tests of the connection's state machine: time is a number here. */
import { describe, expect, it } from "vitest";
import { ConnectionMachine } from "./connection-machine.ts";

const servers = ["a:8848", "b:8848", "c:8848"];

/** The first server first, and the longest pauses. */
function createMachine(random = sequence(0, 1)) {
  return new ConnectionMachine(servers, random, 0);
}

/** The given numbers, and then the last one for ever. */
function sequence(...numbers: readonly number[]): () => number {
  let at = 0;
  return () => numbers[Math.min(at++, numbers.length - 1)] as number;
}

function createReady(now = 0): ConnectionMachine {
  const machine = createMachine();
  machine.tick(now);
  machine.checked(true, now);
  machine.acknowledged(now);
  return machine;
}

describe("ConnectionMachine", () => {
  it("opens, checks, sets up, waits for the acknowledgement, and restores", () => {
    const machine = createMachine();
    expect(machine.tick(0)).toEqual({ do: "open", server: "a:8848" });
    expect(machine.tick(0)).toBeUndefined();
    machine.checked(true, 10);
    expect(machine.tick(200)).toBeUndefined();
    expect(machine.acknowledged(250)).toEqual({ do: "restore" });
    expect(machine.state).toMatchObject({ phase: "ready", since: 250 });
    expect(machine.acknowledged(260)).toBeUndefined();
  });

  it("gives a server that does not acknowledge 100 ms", () => {
    const machine = createMachine();
    machine.tick(0);
    machine.checked(false, 10);
    expect(machine.dueAt).toBe(110);
    expect(machine.tick(109)).toBeUndefined();
    expect(machine.tick(110)).toEqual({ do: "restore" });
  });

  it("gives up what does not answer, or not acknowledge, within 3 s", () => {
    const silent = createMachine();
    silent.tick(0);
    expect(silent.tick(2_999)).toBeUndefined();
    expect(silent.tick(3_000)).toMatchObject({ do: "give-up" });
    const unacknowledged = createMachine();
    unacknowledged.tick(0);
    unacknowledged.checked(true, 1_000);
    expect(unacknowledged.tick(4_000)).toMatchObject({ do: "give-up" });
  });

  it("checks the server's health every 5 s, and gives up after three that failed in a row", () => {
    const machine = createReady(0);
    expect(machine.dueAt).toBe(5_000);
    expect(machine.tick(5_000)).toEqual({ do: "check-health" });
    expect(machine.tick(9_000)).toBeUndefined();
    machine.healthy(5_010);
    expect(machine.dueAt).toBe(10_010);
    machine.tick(10_010);
    expect(machine.unhealthy(13_010)).toBeUndefined();
    expect(machine.tick(14_010)).toEqual({ do: "check-health" });
    machine.healthy(14_020);
    for (const now of [20_000, 24_000]) {
      expect(machine.tick(now)).toEqual({ do: "check-health" });
      expect(machine.unhealthy(now + 3_000)).toBeUndefined();
    }
    machine.tick(28_000);
    expect(machine.unhealthy(31_000)).toMatchObject({ do: "give-up" });
  });

  it("goes from server to server, pausing ever longer, up to 30 s", () => {
    const machine = createMachine();
    const tried: string[] = [];
    const pauses: number[] = [];
    let now = 0;
    for (let round = 0; round < 12; round++) {
      const action = machine.tick(now);
      if (action?.do === "open") tried.push(action.server);
      machine.lost(now);
      pauses.push(machine.dueAt - now);
      now = machine.dueAt;
    }
    expect(tried.slice(0, 4)).toEqual(["a:8848", "b:8848", "c:8848", "a:8848"]);
    expect(tried).toHaveLength(12);
    expect(pauses.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(pauses.at(-1)).toBe(30_000);
  });

  it("starts from the shortest pause again only after 10 s of a good connection", () => {
    for (const [lifeMs, pauseMs] of [
      [9_999, 800],
      [10_000, 100],
    ] as const) {
      const machine = createMachine();
      for (let round = 0; round < 3; round++) {
        machine.tick(100_000 * round);
        machine.lost(100_000 * round);
      }
      machine.tick(300_000);
      machine.checked(true, 300_000);
      machine.acknowledged(300_000);
      machine.lost(300_000 + lifeMs);
      expect(machine.dueAt - 300_000 - lifeMs).toBe(pauseMs);
    }
  });

  it("follows a reset to the server that it names, if that is one of ours", () => {
    for (const [named, expected] of [
      ["c:8848", "c:8848"],
      ["evil:8848", "b:8848"],
      [undefined, "b:8848"],
    ] as const) {
      const machine = createReady(0);
      machine.reset(named, 1_000);
      expect(machine.state.phase).toBe("pausing");
      expect(machine.tick(machine.dueAt)).toEqual({ do: "open", server: expected });
    }
  });

  it("spreads clients over the servers", () => {
    const first = [0, 0.34, 0.67, 0.999].map((chance) => createMachine(sequence(chance)).tick(0));
    expect(first.map((action) => action?.do === "open" && action.server)).toEqual([
      "a:8848",
      "b:8848",
      "c:8848",
      "c:8848",
    ]);
  });

  it("takes no late news for news of the present", () => {
    const machine = createReady(0);
    machine.lost(10);
    machine.checked(true, 20);
    machine.healthy(20);
    expect(machine.acknowledged(20)).toBeUndefined();
    expect(machine.unhealthy(20)).toBeUndefined();
    expect(machine.state.phase).toBe("pausing");
  });
});
