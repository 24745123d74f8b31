/** Fault 1: a node dies under load and stays announced. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { Journal } from "../support/journal.ts";
import { findBusy, first, startService } from "../support/service.ts";

const rate = 1_000;
/** Of ten calls, the last two are POSTs. */
const isPost = (index: number): boolean => index % 10 >= 8;

test("a killed node fails no GET, doubles no POST and is left alone but for trials", async () => {
  using journal = new Journal();
  await using service = await startService("dies", 5, { workMs: 5, journal: journal.path });
  const { balancer, recorder } = service;

  const driving = drive({ ratePerSecond: rate, seconds: 8 }, (index) =>
    isPost(index) ? service.call("POST", { "x-test-key": String(index) }) : service.call(),
  );
  await sleep(3_000);
  const victim = await findBusy(service);
  const { address } = victim;
  const inflightAtKill = balancer.nodes.find((node) => node.address === address)?.inflight;
  const killedAt = performance.now();
  await victim.kill();
  const result = await driving;

  const failedGets = result.failed.filter(({ index }) => !isPost(index));
  const failedPosts = result.failed.filter(({ index }) => isPost(index));
  const arrivals = journal.arrivals();
  // "closing": on a connection that was idle, so that the end of the process reached us before any answer could.
  const cut = recorder
    .endsOn(address)
    .filter(({ at, reason }) => at >= killedAt && (reason === "reset" || reason === "closing"));
  const cutPosts = cut.filter(({ method }) => method === "POST");
  const refused = first(
    recorder.endsOn(address).filter(({ reason }) => reason === "refused"),
    "refused connection",
  );
  const later = recorder.startsOn(address).filter(({ at }) => at > refused.at + 100);
  const trials = recorder.changesTo(address, "probing").length;
  printFigure(
    "1 node dies",
    `${failedGets.length} of ${count(result.calls.length * 0.8)} GETs failed (pass: 0)`,
    `${failedPosts.length} POSTs failed of ${cutPosts.length} that the kill cut (pass: no other)`,
    `POSTs that ran twice: ${journal.doubles().length} of ${count(arrivals.size)} (pass: 0)`,
    `${inflightAtKill} calls were in flight at the kill, which cut ${cut.length - cutPosts.length} GETs`,
    `${recorder.retries.length} retries`,
    `calls to it more than 100 ms after the first refused connection: ${later.length}, trials: ${trials} (pass: no other)`,
    `${count(result.achievedRate)} calls/s`,
  );

  expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(cut.length - cutPosts.length, "GETs that the kill cut").toBeGreaterThan(0);
  expect(failedGets, result.describeFailures()).toHaveLength(0);
  expect(failedPosts.length, result.describeFailures()).toBeLessThanOrEqual(cutPosts.length);
  expect(arrivals.size).toBeGreaterThan(0.9 * result.calls.length * 0.2);
  expect(journal.doubles()).toEqual([]);
  expect(recorder.changesTo(address, "down")).not.toHaveLength(0);
  expect(trials).toBeGreaterThan(0);
  expect(later.length).toBeLessThanOrEqual(trials);
});
