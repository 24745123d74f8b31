/** Load reports in the headers of answers: which are taken, over a balancer without sockets. */
import { expect, it } from "vitest";
import { createTestBalancer } from "../testing/test-balancer.ts";
import type { TestAnswer } from "../testing/test-node.ts";

const header = "endpoint-load-metrics";

it("is taken from good answers only, and forgotten when a good one has none", async () => {
  const answers: TestAnswer[] = [
    { headers: { [header]: "TEXT named_metrics.inflight=7" } },
    { status: 500, headers: { [header]: "TEXT named_metrics.inflight=0" } },
    { headers: { [header]: 'JSON {"named_metrics":{"inflight":9}}' } },
    { headers: { [header]: "TEXT nonsense" } },
    { status: 404, headers: { [header]: "TEXT named_metrics.inflight=3" } },
    {},
  ];
  const orders = createTestBalancer({ name: "orders", nodes: ["http://a"], respond: () => answers.shift() });
  const seen: (number | undefined)[] = [];
  while (answers.length > 0) {
    const { body } = await orders.request({ path: "/", method: "GET" });
    await body.dump();
    seen.push(orders.explain().nodes[0]?.cost.reportedInflight);
  }
  await orders.close();
  // With what is forgotten of it within the test, which is little.
  expect(seen.map((inflight) => inflight && Math.round(inflight))).toEqual([
    7,
    8,
    9,
    undefined,
    3,
    undefined,
  ]);
});
