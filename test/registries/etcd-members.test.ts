/** An etcd of three members, of which some die, hang, or lose the others. */
import { expect, it } from "vitest";
import { etcd } from "../../src/discovery/etcd.ts";
import { ms, printFigure } from "../support/figure.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import { putInstance } from "./support/etcd-writer.ts";
import { type EtcdServer, startEtcdCluster } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

const [one, two, three] = [1, 2, 3].map((number) => ({ address: `10.0.0.${number}:80` })) as [
  { address: string },
  { address: string },
  { address: string },
];

interface Cluster extends AsyncDisposable {
  readonly members: readonly EtcdServer[];
  /** Its client begins with a member drawn at random. */
  readonly orders: WatchedSet;
}

async function start(binary: string): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const members = await startEtcdCluster(3, { binary });
  for (const member of members) stack.use(member);
  const endpoints = members.map(({ address }) => address);
  const orders = stack.use(new WatchedSet(etcd({ endpoints }), "orders", etcdSubject));
  await putInstance(members[0] as EtcdServer, "orders", one.address);
  await orders.untilExactly([one]);
  const started = stack.move();
  return { members, orders, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/** Puts an instance as soon as those that are left have agreed on a leader; until then etcd refuses after some seconds. */
async function putWhenLed(member: EtcdServer, address: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await putInstance(member, "orders", address);
      return;
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

describeEtcd("etcd's members", (binary) => {
  it.concurrent("sees every change whichever member dies, one after the other", async () => {
    await using cluster = await start(binary);
    const { members, orders } = cluster;
    const expected = [one];
    for (const [index, member] of members.entries()) {
      await member.kill();
      const next = { address: `10.0.1.${index}:80` };
      await putWhenLed(members[(index + 1) % 3] as EtcdServer, next.address);
      expected.push(next);
      const tookMs = await orders.untilExactly(expected);
      printFigure(
        "etcd",
        `a change was seen ${ms(tookMs)} after it was made, one of three members having been killed`,
      );
      await member.restart();
    }
    // Of three members the client was on one, and left it once or twice.
    expect(orders.errors.length).toBeGreaterThan(0);
  });

  it.concurrent("leaves a member that has lost the others", async () => {
    await using cluster = await start(binary);
    const { members, orders } = cluster;
    // Whichever the client is on: with the two others gone it has no leader, and says so.
    const [first, second, third] = members as [EtcdServer, EtcdServer, EtcdServer];
    const { length: errors } = orders.errors;
    await first.kill();
    await second.kill();
    await orders.untilError(errors);
    await first.restart();
    await putWhenLed(first, two.address);
    await orders.untilExactly([one, two]);
    await second.restart();
    await putWhenLed(third, three.address);
    await orders.untilExactly([one, two, three]);
  });

  it.concurrent("leaves a member that hangs, which keeps its connections and says nothing", async () => {
    await using cluster = await start(binary);
    const { members, orders } = cluster;
    const expected = [one];
    for (const [index, member] of members.entries()) {
      member.freeze();
      const next = { address: `10.0.2.${index}:80` };
      await putWhenLed(members[(index + 1) % 3] as EtcdServer, next.address);
      expected.push(next);
      // A ping every 10 s, answered within 3.
      const tookMs = await orders.untilExactly(expected, 30_000);
      printFigure(
        "etcd",
        `a change was seen ${ms(tookMs)} after it was made, one of three members having been frozen`,
      );
      member.thaw();
    }
    expect(orders.errors.length).toBeGreaterThan(0);
  }, 120_000);
});
