/**
 * A calls B, B calls C, as processes: 500 calls a second at A, half of which need C. With Evenkeel on both sides of each
 * call a fault of C reaches those who need C, and nobody else; the same over plain undici is printed beside it, and shows
 * that the fault bites.
 *
 * Times are compared within a run, and only where the difference is one of hundreds of milliseconds without Evenkeel.
 */
import { describe, expect, test } from "vitest";
import { failingC, frozenC, overloadedB, retriedC, slowC } from "./support/episodes.ts";
import { expectUnharmed, playBoth } from "./support/judge.ts";

describe("the chain A -> B -> C", () => {
  test("all of C is frozen for 20 s", { timeout: 300_000 }, async () => {
    const { evenkeel, plain } = await playBoth(frozenC(20), frozenC(5));
    expectUnharmed(evenkeel);
    // A dozen trials a second of both processes of B, each given up before the next; the first ones fill the limit.
    expect(evenkeel.withC.during.goodput).toBeLessThan(5);
    // Whoever waits for C holds a connection to B, until there is none left for anybody.
    expect(plain.withoutC.during.p99Ms).toBeGreaterThan(250);
  });

  test("C is ten times slower", { timeout: 200_000 }, async () => {
    const { evenkeel, plain } = await playBoth(slowC);
    expectUnharmed(evenkeel);
    // C can do 80 a second, if nobody makes it work for those who have gone.
    expect(evenkeel.withC.during.goodput).toBeGreaterThan(60);
    expect(plain.withC.during.goodput).toBeLessThan(evenkeel.withC.during.goodput);
    expect(plain.withoutC.during.p99Ms).toBeGreaterThan(250);
  });

  test("all of C fails", { timeout: 200_000 }, async () => {
    const { evenkeel, plain } = await playBoth(failingC);
    expectUnharmed(evenkeel);
    expect(evenkeel.withC.during.failed).toBeGreaterThan(850);
    // It takes the breaker a second to find out, and another one to forget how well C did before; then trials are left.
    expect(evenkeel.cRequests).toBeLessThan(0.6 * plain.cRequests);
    expect(plain.cRequests).toBeGreaterThan(200);
  });

  test("all of C fails, and each layer retries", { timeout: 200_000 }, async () => {
    // Just within the ten seconds over which the budget's bound holds.
    const seconds = 9.8;
    const { evenkeel, plain } = await playBoth(retriedC(seconds), retriedC(4));
    expectUnharmed(evenkeel);
    const asked = evenkeel.withC.during.calls / evenkeel.faultSeconds;
    // A twentieth more, as the fault does not begin and end with a window of the budget's.
    expect(evenkeel.cRequests).toBeLessThanOrEqual(1.05 * (1.2 * asked + 10));
    // Without the breaker, each call is tried at least once.
    expect(evenkeel.cRequests).toBeGreaterThan(0.95 * asked);
    // Three tries in B for each of three in A.
    expect(plain.cRequests).toBeGreaterThan(2 * asked);
  });

  test("B is asked for three times what it can do", { timeout: 200_000 }, async () => {
    const { evenkeel, plain } = await playBoth(overloadedB);
    const { before, during, after } = evenkeel.withoutC;
    expect([before.failures, after.failures]).toEqual(["", ""]);
    expect(evenkeel.answered).toBeGreaterThanOrEqual(0.9 * evenkeel.capacity);
    // What the workers had begun before there were fewer of them, and no more.
    expect(evenkeel.answered).toBeLessThan(1.1 * evenkeel.capacity);
    expect(during.lateShare(1_050)).toBeLessThan(0.005);
    expect(evenkeel.mostInflight).toBeLessThanOrEqual(80);
    expect(plain.answered).toBeLessThan(evenkeel.answered);
  });
});
