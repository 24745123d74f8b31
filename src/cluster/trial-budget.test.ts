/** Tests that a call which could not be made good is not put on trial, as long as others may come. */
import { expect, it } from "vitest";
import { createSeededRandom } from "../core/random.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Cluster } from "./cluster.ts";

const dead = "http://10.0.0.1";
const alive = "http://10.0.0.2";

/** One of two nodes is dead and its penalty is over. Returns where the next idempotent call goes. */
async function nextCallGoesTo(budget: {
  readonly ratio: number;
  readonly minPerSecond: number;
}): Promise<string> {
  const clock = new ManualClock();
  const random = createSeededRandom(1);
  await using cluster = new Cluster({
    name: "orders",
    discovery: [dead, alive],
    policy: roundRobin({ random }),
    retry: { budget },
    clock,
    random,
  });
  const visit = (sent: string[]) =>
    cluster
      .call(
        ({ node }) => {
          sent.push(node.key);
          if (node.key === dead) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
        },
        { idempotent: true },
      )
      .catch(() => {});
  const refusals = [visit([]), visit([])];
  await clock.advanceAsync(100);
  await Promise.all(refusals);
  expect(cluster.nodes.find(({ address }) => address === dead)?.state).toBe("down");
  await clock.advanceAsync(1_000);
  const sent: string[] = [];
  const visited = visit(sent);
  await clock.advanceAsync(100);
  await visited;
  return sent[0] ?? "nowhere";
}

it("puts a call on trial that can be retried", async () => {
  expect(await nextCallGoesTo({ ratio: 1, minPerSecond: 1 })).toBe(dead);
});

it("spares a call for which no retry is left in the budget", async () => {
  expect(await nextCallGoesTo({ ratio: 0, minPerSecond: 0 })).toBe(alive);
});
