/** Fault 12 over gRPC: one node fails every call at once, and would draw calls with it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, percent, printFigure } from "../../support/figure.ts";
import { failures, startShop } from "../support/shop.ts";

test.for([
  // A status that is tried again, and one that no retry makes good: then it is the choice of nodes that counts.
  { status: 503, name: "UNAVAILABLE", allowed: 0 },
  { status: 500, name: "INTERNAL", allowed: 0.005 },
])("a node that answers $name at once", async ({ status, name, allowed }) => {
  await using shop = await startShop(`grpc-sinkhole-${status}`);
  await shop.drive({ ratePerSecond: 200, seconds: 0.5 });
  const driving = shop.drive({ ratePerSecond: 200, seconds: 8 });
  await sleep(1_000);
  const [victim] = shop.backends;
  if (victim === undefined) throw new Error("there is no backend");
  await victim.configure({ status });
  const results = await driving;
  const bad = shop.recorder.endsOn(`http://${victim.address}`).filter(({ outcome }) => outcome === "failure");
  const { failed, calls } = results.ours;
  printFigure(
    `12 sinkhole of ${name} over gRPC`,
    `${failed.length} of ${count(calls.length)} failed, ${percent(failed.length, calls.length)} (pass: ${100 * allowed}%)`,
    `${bad.length} attempts met it`,
    ...failures(results),
  );
  expect(bad.length, "attempts that the fault met").toBeGreaterThan(0);
  expect(failed.length).toBeLessThanOrEqual(allowed * calls.length);
});
