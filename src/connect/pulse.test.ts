/** When a peer is asked for a sign of life, and when it is given up. */
import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { type PingTimeoutError, Pulse } from "./pulse.ts";

function setUp(pingMs = 1_000) {
  const clock = new ManualClock();
  const socket = { bytesRead: 0 };
  const pings: ((error: Error | null) => void)[] = [];
  const session = {
    closed: false,
    ping(first: unknown) {
      pings.push(first as (error: Error | null) => void);
      return true;
    },
  };
  const deaths: PingTimeoutError[] = [];
  const options = { pingMs, pingTimeoutMs: 500, clock };
  const pulse = new Pulse(options, session, socket, (error) => deaths.push(error));
  const answer = (): void => {
    socket.bytesRead += 17;
    for (const callback of pings.splice(0)) callback(null);
  };
  return { clock, socket, session, pings, deaths, pulse, answer };
}

test("a peer that is heard is not asked", () => {
  const { clock, socket, pings, pulse } = setUp();
  pulse.start();
  for (let index = 0; index < 20; index++) {
    clock.advance(400);
    socket.bytesRead++;
  }
  expect(pings).toHaveLength(0);
});

test("a silent peer is asked each pingMs, and lives while it answers", () => {
  const { clock, pings, deaths, pulse, answer } = setUp();
  pulse.start();
  for (let index = 0; index < 5; index++) {
    clock.advance(999);
    expect(pings).toHaveLength(0);
    clock.advance(1);
    expect(pings).toHaveLength(1);
    answer();
  }
  expect(deaths).toHaveLength(0);
});

test("a peer that does not answer within pingTimeoutMs is given up, once", () => {
  const { clock, deaths, pulse } = setUp();
  pulse.start();
  clock.advance(1_499);
  expect(deaths).toHaveLength(0);
  clock.advance(1);
  expect(deaths.map(({ code, message }) => [code, message])).toEqual([
    ["ERR_PING_TIMEOUT", "HTTP/2: no answer to a PING within 500 ms"],
  ]);
  clock.advance(10_000);
  expect(deaths).toHaveLength(1);
});

test("anything that arrives is a sign of life", () => {
  const { clock, socket, deaths, pulse } = setUp();
  pulse.start();
  clock.advance(1_200);
  socket.bytesRead++;
  clock.advance(500);
  expect(deaths).toHaveLength(0);
});

test("nobody is asked while no stream is open, and a connection that rested is in doubt", () => {
  const { clock, pings, deaths, pulse, answer } = setUp();
  pulse.start();
  pulse.stop();
  clock.advance(5_000);
  expect(pings).toHaveLength(0);
  expect(pulse.isDoubtful).toBe(true);
  let alive = 0;
  pulse.verify(() => alive++);
  expect(pings).toHaveLength(1);
  answer();
  expect(alive).toBe(1);
  expect(pulse.isDoubtful).toBe(false);
  pulse.verify(() => alive++);
  clock.advance(500);
  expect(alive).toBe(1);
  expect(deaths).toHaveLength(1);
});

test("a pingMs of 0 asks nobody", () => {
  const { clock, pings, pulse } = setUp(0);
  pulse.start();
  clock.advance(100_000);
  expect(pings).toHaveLength(0);
  expect(pulse.isDoubtful).toBe(false);
});

test("nothing is left when it is closed", () => {
  const { clock, deaths, pulse } = setUp();
  pulse.start();
  clock.advance(1_000);
  pulse.close();
  clock.advance(10_000);
  expect(deaths).toHaveLength(0);
});

test("after a GOAWAY, when no PING can be sent, silence is no death", () => {
  const { clock, session, pings, deaths, pulse } = setUp();
  pulse.start();
  clock.advance(500);
  session.closed = true;
  clock.advance(60_000);
  expect(pings).toHaveLength(0);
  expect(deaths).toHaveLength(0);
});
