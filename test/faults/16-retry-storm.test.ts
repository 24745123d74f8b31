/** Fault 16: every node answers 503: retries must not multiply the load. */
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { startService } from "../support/service.ts";

const rate = 500;
const seconds = 10;

test("while all answer 503 the attempts stay at 1.2 x the calls + 10 per second", async () => {
  await using service = await startService("storm", 3, { status: 503 });
  const result = await drive({ ratePerSecond: rate, seconds }, () => service.call());

  const { starts } = service.recorder;
  // Exactly the 10 s: a call that the machine delays beyond them has the next second's budget.
  const until = (starts[0]?.at ?? 0) + seconds * 1_000;
  const within = starts.filter(({ at }) => at < until);
  const attempts = within.length;
  const calls = within.filter(({ attempt }) => attempt === 1).length;
  const arrived = await Promise.all(
    service.backends.map(async (backend) => (await backend.stats()).requests),
  );
  const requests = arrived.reduce((sum, part) => sum + part, 0);
  const most = 1.2 * calls + 10 * seconds;
  printFigure(
    "16 retry storm",
    `${count(attempts)} attempts for ${count(calls)} calls in ${seconds} s (pass: ${count(most)})`,
    `${count(requests)} requests arrived`,
    `${count(result.failed.length)} calls were answered 503`,
    `ejections: ${service.recorder.ejections}`,
    `${count(result.achievedRate)} calls/s`,
  );
  expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
  expect(result.failed).toHaveLength(result.calls.length);
  expect(starts.length).toBe(requests);
  expect(attempts).toBeGreaterThan(calls);
  expect(attempts).toBeLessThanOrEqual(most);
  // All fail alike, so it is nobody's fault in particular.
  expect(service.recorder.ejections).toBe(0);
});
