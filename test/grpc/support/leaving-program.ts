/**
 * Nodes in a process of their own, one of which sends all its callers away at each turn; see leaving-nodes.ts. They share
 * no event loop with their callers: what these send is read at once, however busy they are.
 */
import { LeavingNode } from "./leaving-node.ts";
import type { LeavingCounts } from "./leaving-nodes.ts";

const [count = 0, workMs = 0, everyMs = 0, idleMs = 0] = process.argv.slice(2).map(Number);
const worked = new Map<string, number>();
const nodes = await Promise.all(
  Array.from({ length: count }, () =>
    LeavingNode.start(workMs, idleMs, (headers) => {
      const key = String(headers["x-key"]);
      worked.set(key, (worked.get(key) ?? 0) + 1);
    }),
  ),
);

function sum(of: (node: LeavingNode) => number): number {
  return nodes.reduce((all, node) => all + of(node), 0);
}

function counts(): LeavingCounts {
  return {
    goAways: sum(({ goAways }) => goAways),
    connections: sum(({ connections }) => connections),
    finishing: sum(({ finishing }) => finishing),
    refused: sum(({ refused }) => refused),
    worked: worked.size,
    doubles: [...worked].flatMap(([key, times]) => (times > 1 ? [key] : [])),
  };
}

let turn = 0;
process.on("message", (message) => {
  // In turns: a node that a call goes to instead is not leaving at the same moment.
  if (message === "leave") setInterval(() => nodes[turn++ % nodes.length]?.leave(), everyMs);
  else process.send?.(counts());
});
process.on("disconnect", () => process.exit(0));
process.send?.(nodes.map(({ address }) => address));
