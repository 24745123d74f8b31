/** Fault 12 over gRPC: one node fails every call at once, and would draw calls with it. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, percent, printFigure } from "../../support/figure.ts";
import { first } from "../../support/service.ts";
import { failures, startShop } from "../support/shop.ts";

/** For each of the three. */
const rate = 250;
/** Failures in a row that take a node out by default. */
const consecutive = 5;

test.for([
  // A status that is tried again, and one that no retry makes good: then it is the choice of nodes that counts.
  { status: 503, name: "UNAVAILABLE", allowed: 0 },
  { status: 500, name: "INTERNAL", allowed: 0.005 },
])("a node that answers $name at once", async ({ status, name, allowed }) => {
  await using shop = await startShop();
  await shop.drive({ ratePerSecond: rate / 2, seconds: 0.3 });
  const driving = shop.drive({ ratePerSecond: rate, seconds: 4.2 });
  await sleep(400);
  const victim = first(shop.backends, "backend");
  await victim.configure({ status });
  const results = await driving;
  const address = `http://${victim.address}`;
  const bad = shop.recorder.endsOn(address).filter(({ outcome }) => outcome === "failure");
  // What was sent before anybody could know, and a pause of the machine makes a burst of it.
  const known = bad.at(consecutive - 1)?.at ?? Number.POSITIVE_INFINITY;
  const unwarned = bad.filter(({ at, durationMs }) => at - durationMs <= known).length;
  const { failed, calls } = results.ours;
  printFigure(
    `12 sinkhole of ${name} over gRPC`,
    `${failed.length} of ${count(calls.length)} failed, ${percent(failed.length, calls.length)} (pass: ${100 * allowed}%)`,
    `${bad.length} attempts met it, ${unwarned} of them sent before ${consecutive} had failed`,
    failures(results),
  );
  expect(bad.length, "attempts that the fault met").toBeGreaterThan(0);
  expect(results.plain.failed.length, "calls of round_robin that the fault met").toBeGreaterThan(100);
  if (allowed === 0) expect(failed, results.ours.describeFailures()).toHaveLength(0);
  else expect(failed.length).toBeLessThanOrEqual(Math.max(unwarned, consecutive) + allowed * calls.length);
});
