/** What is lost and what is kept of etcd's history: connections that break, compaction, a store that is replaced. */
import { expect, it } from "vitest";
import { etcd } from "../../src/discovery/etcd.ts";
import { type FaultProxy, startFaultProxy } from "../../src/testing/fault-proxy.ts";
import { etcdSubject } from "./subjects/etcd.ts";
import { describeEtcd } from "./support/describe-etcd.ts";
import { compact, put, putInstance, putMany, remove } from "./support/etcd-writer.ts";
import { type EtcdServer, startEtcd } from "./support/servers.ts";
import { WatchedSet } from "./support/watched-set.ts";

const [a, b, c, d] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"].map((address) => ({
  address,
})) as [{ address: string }, { address: string }, { address: string }, { address: string }];

interface Scene extends AsyncDisposable {
  readonly server: EtcdServer;
  /** Between our client and the server. */
  readonly proxy: FaultProxy;
  readonly orders: WatchedSet;
}

/** A server with `a` and `b` in it, and a client that has seen them, through a proxy that can cut it off. */
async function start(binary: string): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startEtcd({ binary }));
  const proxy = stack.use(await startFaultProxy({ target: server.address }));
  await putInstance(server, "orders", a.address);
  await putInstance(server, "orders", b.address);
  const orders = stack.use(new WatchedSet(etcd({ endpoints: proxy.address }), "orders", etcdSubject));
  await orders.untilExactly([a, b]);
  const started = stack.move();
  return { server, proxy, orders, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/** Cuts the client off while something happens. */
async function cutOff({ proxy, orders }: Scene, meanwhile: () => Promise<void>): Promise<void> {
  const { length: errors } = orders.errors;
  await proxy.set({ kind: "reset" });
  await orders.untilError(errors);
  await meanwhile();
  await proxy.reset();
}

/** How many ranges etcd has read since its start. */
async function countRanges(server: EtcdServer): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const [, count] = /^etcd(?:_debugging)?_mvcc_range_total (\d+)$/m.exec(metrics) ?? [];
  if (count === undefined) throw new Error("etcd's metrics do not say how many ranges it has read");
  return Number(count);
}

describeEtcd("etcd's history", (binary) => {
  it("goes on where it was: sees what happened while it was cut off, without listing again", async () => {
    await using scene = await start(binary);
    const { server, orders } = scene;
    // To list them again takes two pages, to ask for the one key by which the store is known takes one range.
    const many = Array.from({ length: 1_000 }, (_, index) => ({
      address: `10.1.${index % 4}.${index >> 2}:80`,
    }));
    await putMany(
      server,
      many.map(({ address }) => [`orders/${address}`, JSON.stringify({ Addr: address })] as const),
    );
    await orders.untilExactly([a, b, ...many]);
    const ranges = await countRanges(server);
    await cutOff(scene, async () => {
      await remove(server, `orders/${a.address}`);
      await putInstance(server, "orders", c.address);
    });
    await orders.untilExactly([b, c, ...many]);
    expect(await countRanges(server)).toBe(ranges + 1);
  });

  it("catches up with more changes than etcd sends at once", async () => {
    await using scene = await start(binary);
    const { server, orders } = scene;
    const value = (index: number): string =>
      JSON.stringify({ Op: 0, Addr: c.address, Metadata: { weight: index + 1 } });
    await cutOff(scene, async () => {
      // One revision for each, as etcd takes 1,000 revisions for a batch. Many at a time, as each waits for the disk.
      for (let at = 0; at < 2_500; at += 100) {
        await Promise.all(Array.from({ length: 100 }, () => put(server, `orders/${c.address}`, value(at))));
      }
      await remove(server, `orders/${a.address}`);
      await put(server, `orders/${c.address}`, value(6));
    });
    await orders.untilExactly([b, { ...c, weight: 7 }]);
  });

  it("sees a large transaction whole, which comes in fragments", async () => {
    await using scene = await start(binary);
    const { server, orders } = scene;
    // 150 values of 20 kB are 3 MB, and etcd cuts at 1.5 MB and 512 kB. A request may have 1.5 MB, so in six.
    const entries = Array.from({ length: 150 }, (_, index) => {
      const address = `10.1.0.${index}:80`;
      return [
        `orders/${address}`,
        JSON.stringify({ Addr: address, Metadata: { text: "x".repeat(20_000) } }),
      ] as const;
    });
    await cutOff(scene, async () => {
      for (let at = 0; at < 150; at += 25) await putMany(server, entries.slice(at, at + 25));
    });
    await orders.untilExactly([
      a,
      b,
      ...entries.map(([, value]) => ({ address: JSON.parse(value).Addr as string })),
    ]);
  });

  it("lists again when its place in the history was compacted meanwhile", async () => {
    await using scene = await start(binary);
    const { server, orders } = scene;
    await cutOff(scene, async () => {
      await remove(server, `orders/${a.address}`);
      await putInstance(server, "orders", c.address);
      await compact(server);
    });
    await orders.untilExactly([b, c]);
    await putInstance(server, "orders", d.address);
    await orders.untilExactly([b, c, d]);
  });

  it("lists again when the store was replaced by one that is not as far", async () => {
    await using scene = await start(binary);
    const { server, orders } = scene;
    for (let round = 0; round < 50; round++) await put(server, "users/x", String(round));
    await putInstance(server, "orders", d.address);
    await orders.untilExactly([a, b, d]);
    await cutOff(scene, async () => {
      await server.wipe();
      await putInstance(server, "orders", c.address);
    });
    await orders.untilExactly([c]);
    await putInstance(server, "orders", d.address);
    await orders.untilExactly([c, d]);
  });

  it("lists again when the store was replaced by one that has come as far since", async () => {
    await using scene = await start(binary);
    const { server, orders } = scene;
    await cutOff(scene, async () => {
      await server.wipe();
      await putInstance(server, "orders", c.address);
      for (let round = 0; round < 5; round++) await put(server, "users/x", String(round));
    });
    await orders.untilExactly([c]);
    await putInstance(server, "orders", d.address);
    await orders.untilExactly([c, d]);
  });

  it("lists what is good among values that are too large together for one answer", async () => {
    await using scene = await start(binary);
    const { server } = scene;
    const blob = "x".repeat(1_400_000);
    for (let index = 0; index < 50; index++) await put(server, `orders/blob${index}`, blob);
    await using orders = new WatchedSet(etcd({ endpoints: server.address }), "orders", etcdSubject);
    await orders.untilExactly([a, b]);
    expect(orders.errors.map(String)).toContainEqual(expect.stringMatching(/"orders\/blob0".*1400000 bytes/));
  });
});
