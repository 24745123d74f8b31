/** A program that starts while its registry is down, with what an earlier start has left on the disk. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Balancer, type Discovery } from "../../src/index.ts";
import { startBackends } from "../../src/testing/backend.ts";
import { PushedDiscovery } from "../support/pushed-discovery.ts";
import { until } from "../support/until.ts";

const dead: Discovery = {
  // biome-ignore lint/correctness/useYield: it never gets that far
  async *watch() {
    throw new Error("the registry is down");
  },
};

test("calls go to the nodes that the last start knew, and the cluster says that they are stale", async () => {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-snapshot-"));
  const backends = await startBackends(2, { workMs: 0 });
  const addresses = backends.map(({ address }) => address);
  const options = { name: "remembered", snapshot: { path: `${folder}/` } };
  const file = join(folder, "remembered.json");
  try {
    const startedAt = Date.now();
    {
      const discovery = new PushedDiscovery(addresses.map((address) => ({ address })));
      await using first = new Balancer({ ...options, discovery });
      await first.ready();
      let text = "";
      while (!text.includes(addresses[1] ?? "")) text = await readFile(file, "utf8").catch(() => "");
    }

    await using second = new Balancer({ ...options, discovery: dead });
    await second.ready();
    const hits = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { statusCode, body } = await second.request({ path: "/", method: "GET" });
        await body.dump();
        return statusCode;
      }),
    );
    expect(hits).toEqual(Array(20).fill(200));
    expect(second.nodes.map(({ address }) => address).sort()).toEqual([...addresses].sort());
    const { state, staleSince } = second.cluster.discoveryState;
    expect(state).toBe("stale");
    expect(staleSince).toBeGreaterThanOrEqual(startedAt);
    expect(staleSince).toBeLessThanOrEqual(Date.now());

    // With the registry back, what it says counts.
    const back = new PushedDiscovery([{ address: addresses[0] ?? "" }]);
    await using third = new Balancer({ ...options, discovery: back });
    await third.ready();
    expect(third.nodes).toHaveLength(1);
    await until("it is fresh", () => third.cluster.discoveryState.state === "fresh", 5_000);
  } finally {
    await Promise.all(backends.map((backend) => backend.kill()));
    await rm(folder, { recursive: true, force: true });
  }
});
