/** Fault 1 over gRPC: a node dies under load and stays announced. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, printFigure } from "../../support/figure.ts";
import { busiest, failures, startShop } from "../support/shop.ts";

test("a killed node fails no call that may be retried, and is left alone", async () => {
  await using shop = await startShop("grpc-dies");
  await shop.drive({ ratePerSecond: 200, seconds: 0.5 });
  const driving = shop.drive({ ratePerSecond: 200, seconds: 5 });
  await sleep(1_500);
  const victim = busiest(shop);
  const address = `http://${victim.address}`;
  const inflight = shop.balancer.nodes.find((node) => node.address === address)?.inflight ?? 0;
  await victim.kill();
  const results = await driving;
  const cut = shop.recorder.endsOn(address).filter(({ outcome }) => outcome === "failure");
  const [out] = shop.recorder.changesTo(address, "down", "ejected");
  const late = shop.recorder.startsOn(address).filter(({ at }) => at > (out?.at ?? 0) + 100);
  printFigure(
    "1 node dies over gRPC",
    `${results.ours.failed.length} of ${count(results.ours.calls.length)} failed (pass: 0)`,
    `${inflight} were in flight at the kill, ${cut.length} were cut`,
    `picked 100 ms after it was out: ${late.length} (pass: 0)`,
    ...failures(results),
  );
  expect(results.ours.failed, results.ours.describeFailures()).toHaveLength(0);
  expect(cut.length, "calls that the kill cut").toBeGreaterThan(0);
  expect(out).toBeDefined();
  expect(late).toHaveLength(0);
});
