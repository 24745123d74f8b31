/** Fault 1 over gRPC: a node dies under load and stays announced. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { count, printFigure } from "../../support/figure.ts";
import { statisticsOf } from "../support/channelz.ts";
import { failures, findBusy, startShop } from "../support/shop.ts";

/** For each of the three: 1,000 calls/s in all, since not every machine of two cores carries that three times. */
const rate = 333;
/** With 60 ms for each call, a node of five has four of each system's calls in flight on average. */
const workMs = 60;
const fewestInflight = 4;

test("a killed node fails no call that may be retried, and is left alone", async () => {
  await using shop = await startShop({ workMs });
  const { recorder } = shop;
  await shop.drive({ ratePerSecond: rate / 3, seconds: 0.5 });
  const driving = shop.drive({ ratePerSecond: rate, seconds: 3 });
  await sleep(500);
  const { backend } = await findBusy(shop, fewestInflight);
  const address = `http://${backend.address}`;
  // What it answered is read first, however late this process is: all that is in flight then dies with it.
  backend.freeze();
  await sleep(30);
  const inflight = statisticsOf(shop.clients.ours).get(backend.address)?.inflight ?? 0;
  const killedAt = performance.now();
  await backend.kill();
  const results = await driving;
  const { ours } = results;
  const cut = recorder.endsOn(address).filter(({ at, outcome }) => at > killedAt && outcome === "failure");
  const [out] = recorder.changesTo(address, "down", "ejected");
  const late = recorder.startsOn(address).filter(({ at }) => at > (out?.at ?? 0) + 100);
  printFigure(
    "1 node dies over gRPC",
    `${ours.failed.length} of ${count(ours.calls.length)} failed (pass: 0)`,
    `${inflight} were in flight at the kill, ${cut.length} were cut`,
    `picked 100 ms after it was out: ${late.length} (pass: 0)`,
    failures(results),
    `${count(ours.achievedRate)} calls/s each`,
  );
  expect(cut.length, "calls that the kill cut").toBeGreaterThanOrEqual(3);
  expect(results.plain.failed.length, "calls of round_robin that the kill cut").toBeGreaterThanOrEqual(3);
  expect(ours.failed, ours.describeFailures()).toHaveLength(0);
  expect(out).toBeDefined();
  expect(late).toHaveLength(0);
});
