/** Fault 9: nodes refuse HTTP/2 streams, or answer each with ENHANCE_YOUR_CALM, without end. */
import { expect, test } from "vitest";
import { roundRobin } from "../../src/index.ts";
import type { BackendBehaviour } from "../../src/testing/backend.ts";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { isMultiplexed, protocols } from "../support/protocols.ts";
import { first, type Service, startService } from "../support/service.ts";

const rate = 200;
const seconds = 5;
const attempts = 3;
const isPost = (index: number): boolean => index % 10 >= 8;

const cases = protocols.filter(isMultiplexed).flatMap((protocol) => [
  { protocol, what: "REFUSED_STREAM", fault: { refuseStreams: true } },
  { protocol, what: "ENHANCE_YOUR_CALM", fault: { calm: true } },
]);

type Case = (typeof cases)[number];

function start(name: string, { protocol }: Case): Promise<Service> {
  // Neither ejection nor the policy keeps calls away from the node.
  const options = {
    policy: roundRobin(),
    health: { ejection: false as const },
    retry: { attempts, budget: false as const },
  };
  return startService(name, 3, { workMs: 1, workers: 100 }, options, { protocol });
}

/** The most attempts that one call made, by the numbers that its attempts have. */
function mostAttempts({ recorder }: Service): number {
  return Math.max(...recorder.starts.map(({ attempt }) => attempt));
}

test.for(cases)("$what from one node fails no call over $protocol.name", async (row) => {
  await using service = await start("refusing-one", row);
  const { recorder } = service;
  await drive({ ratePerSecond: rate, seconds: 1 }, () => service.call());
  const victim = first(service.backends, "backend");
  const before = await victim.stats();
  await victim.configure(row.fault as Partial<BackendBehaviour>);
  const driven = recorder.starts.length;
  // What ended a whole session may have been processed: nobody may send a POST again then.
  const result = await drive({ ratePerSecond: rate, seconds }, (index) =>
    service.call(isPost(index) && row.what === "REFUSED_STREAM" ? "POST" : "GET"),
  );
  const after = await victim.stats();
  const hit = recorder.endsOn(victim.address).filter(({ outcome }) => outcome === "failure").length;
  printFigure(
    `9 ${row.what} from one node, ${row.protocol.name}`,
    `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
    `${count(recorder.starts.length - driven)} attempts, at most ${mostAttempts(service)} for a call (pass: ${attempts})`,
    `it refused ${count(hit)}`,
    `connections made to it: ${after.connections - before.connections}`,
    `${count(result.achievedRate)} calls/s`,
  );
  expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(hit).toBeGreaterThan(0);
  expect(result.failed, result.describeFailures()).toHaveLength(0);
  expect(mostAttempts(service)).toBeLessThanOrEqual(attempts);
  // 1 s, then 2 s: within five seconds it is tried four times at most.
  if (row.what === "ENHANCE_YOUR_CALM") expect(after.connections - before.connections).toBeLessThanOrEqual(4);
});

test.for(cases)("$what from all nodes ends each call after its attempts over $protocol.name", async (row) => {
  await using service = await start("refusing-all", row);
  const { recorder, backends } = service;
  await Promise.all(backends.map((backend) => backend.configure(row.fault as Partial<BackendBehaviour>)));
  const result = await drive({ ratePerSecond: rate, seconds: 2 }, (index) =>
    service.call("GET", { "x-test-key": String(index) }),
  );
  const stats = await Promise.all(backends.map((backend) => backend.stats()));
  const arrivals = stats.reduce((sum, { requests }) => sum + requests, 0);
  const sessions = stats.reduce((sum, { connections }) => sum + connections, 0);
  printFigure(
    `9 ${row.what} from all nodes, ${row.protocol.name}`,
    `${count(recorder.starts.length)} attempts for ${count(result.calls.length)} calls (pass: ${count(attempts * result.calls.length)})`,
    `${count(arrivals)} streams arrived`,
    `${sessions} connections`,
    `${result.failed.length} calls failed`,
  );
  expect(result.failed).toHaveLength(result.calls.length);
  expect(recorder.starts.length).toBeLessThanOrEqual(attempts * result.calls.length);
  // undici would send each refused stream once more by itself.
  expect(arrivals).toBeLessThanOrEqual(recorder.starts.length);
  if (row.what === "ENHANCE_YOUR_CALM") expect(sessions).toBeLessThanOrEqual(4 * backends.length);
});
