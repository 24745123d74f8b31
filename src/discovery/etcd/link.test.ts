/** Tests of the one connection, in virtual time: who gets it, what follows its end, when it closes. */
import { beforeEach, describe, expect, it } from "vitest";
import { FakeEtcd } from "../../testing/fake-etcd.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { EtcdError } from "./failure.ts";
import { Link, type LinkUser } from "./link.ts";

let clock: ManualClock;
let server: FakeEtcd;

beforeEach(() => {
  clock = new ManualClock();
  server = new FakeEtcd(clock);
});

function createLink(...members: string[]): Link {
  return new Link({
    members,
    clock,
    random: () => 0.5,
    backoffMs: 100,
    backoffMaxMs: 5_000,
    stableMs: 10_000,
    open: (member, ended) => server.open(member, ended),
  });
}

function createUser(): LinkUser & { readonly log: string[] } {
  const log: string[] = [];
  return {
    log,
    attach: () => void log.push("attach"),
    detach: (error) => void log.push(`detach: ${error?.message ?? "to log in again"}`),
  };
}

/** The first connection is made, and not told of until the gate opens. */
function holdOpen(): PromiseWithResolvers<void> {
  const gate = Promise.withResolvers<void>();
  const open = server.open.bind(server);
  server.open = async (member, ended) => {
    server.open = open;
    const session = await open(member, ended);
    await gate.promise;
    return session;
  };
  return gate;
}

const settle = (ms = 0): Promise<void> => clock.advanceAsync(ms);

describe("Link", () => {
  it("connects with the first user, is shared, and closes after the last", async () => {
    const link = createLink("a");
    expect(server.opened).toEqual([]);
    const [first, second] = [createUser(), createUser()];
    const leaveFirst = link.join(first);
    await settle();
    const leaveSecond = link.join(second);
    expect([first.log, second.log]).toEqual([["attach"], ["attach"]]);
    expect(server.opened).toEqual(["a"]);
    leaveFirst();
    await settle(1);
    expect(server.sessions.size).toBe(1);
    leaveSecond();
    leaveSecond();
    await settle(1);
    expect(server.sessions.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives up a connection attempt that nobody waits for any more", async () => {
    const attempts: AbortSignal[] = [];
    const link = new Link({
      members: ["a"],
      clock,
      random: () => 0.5,
      backoffMs: 100,
      backoffMaxMs: 5_000,
      stableMs: 10_000,
      open(_member, _ended, signal) {
        attempts.push(signal);
        return new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason)),
        );
      },
    });
    const leave = link.join(createUser());
    leave();
    // One who comes back in the same turn still waits.
    const user = createUser();
    const leaveAgain = link.join(user);
    await settle(1);
    expect(attempts.map(({ aborted }) => aborted)).toEqual([false]);
    leaveAgain();
    await settle(1);
    expect(attempts.map(({ aborted }) => aborted)).toEqual([true]);
    expect(user.log).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
    link.join(user);
    expect(attempts).toHaveLength(2);
  });

  it("keeps the connection for one who leaves and comes back in the same turn", async () => {
    const link = createLink("a");
    const leave = link.join(createUser());
    await settle();
    leave();
    link.join(createUser());
    await settle(1_000);
    expect(server.opened).toEqual(["a"]);
    expect(server.sessions.size).toBe(1);
  });

  it("closes a connection that is made when nobody wants it any more", async () => {
    const link = createLink("a");
    const gate = holdOpen();
    link.join(createUser())();
    await settle(1);
    gate.resolve();
    await settle();
    expect(server.opened).toEqual(["a"]);
    expect(server.sessions.size).toBe(0);
  });

  it("makes a new one when the connection ended while it was being made", async () => {
    const link = createLink("a", "b");
    const gate = holdOpen();
    const user = createUser();
    link.join(user);
    await settle();
    server.disconnect();
    gate.resolve();
    await settle();
    expect(server.opened).toEqual(["b", "a"]);
    expect(user.log).toEqual(["detach: dropped", "attach"]);
    expect(server.sessions.size).toBe(1);
  });

  it("goes to the next member at once when the connection ends", async () => {
    const link = createLink("a", "b", "c");
    const user = createUser();
    link.join(user);
    await settle();
    server.disconnect();
    await settle();
    expect(user.log).toEqual(["attach", "detach: dropped", "attach"]);
    expect(server.opened).toEqual(["b", "c"]);
  });

  it("tries on for as long as it takes, with pauses, and stops with the last user", async () => {
    server.refuses = new EtcdError("connection", "refused");
    const link = createLink("a");
    const user = createUser();
    const leave = link.join(user);
    await settle(60_000);
    const attempts = server.opened.length;
    expect(attempts).toBeGreaterThan(20);
    expect(attempts).toBeLessThan(40);
    server.refuses = undefined;
    await settle(2_500);
    expect(user.log.at(-1)).toBe("attach");
    server.refuses = new EtcdError("connection", "refused");
    server.disconnect();
    leave();
    await settle(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("logs in again without a word when a token has expired, but not twice in a row", async () => {
    const link = createLink("a");
    const user = createUser();
    link.join(user);
    await settle();
    server.disconnect(new EtcdError("token", "expired"));
    await settle();
    server.disconnect(new EtcdError("token", "expired"));
    await settle(100);
    expect(user.log).toEqual(["attach", "detach: to log in again", "attach", "detach: expired", "attach"]);
    await settle(10_000);
    server.disconnect(new EtcdError("token", "expired"));
    expect(user.log.at(-1)).toBe("detach: to log in again");
  });
});
