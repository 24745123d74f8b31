/** Fault 8: every node ends its HTTP/2 sessions again and again, with calls in flight on them. */
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { Journal } from "../support/journal.ts";
import { isMultiplexed, protocols } from "../support/protocols.ts";
import { startService } from "../support/service.ts";

const rate = 500;
const seconds = 8;
const everyMs = 250;
const nodes = 3;
/** Of ten calls, the last two are POSTs. */
const isPost = (index: number): boolean => index % 10 >= 8;

test.for(protocols.filter(isMultiplexed))(
  `GOAWAY every ${everyMs} ms fails no call and doubles none over $name`,
  async (protocol) => {
    using journal = new Journal();
    await using service = await startService(
      "goaway",
      nodes,
      { workMs: 20, workers: 200, goAwayEveryMs: everyMs, journal: journal.path },
      {},
      { protocol },
    );
    const { balancer, backends, recorder } = service;
    let lostUnderWay = 0;
    balancer.on("disconnect", () => {
      if (balancer.nodes.some(({ inflight }) => inflight > 0)) lostUnderWay++;
    });
    const result = await drive({ ratePerSecond: rate, seconds }, (index) =>
      service.call(isPost(index) ? "POST" : "GET", { "x-test-key": String(index) }),
    );
    const stats = await Promise.all(backends.map((backend) => backend.stats()));
    const sessions = stats.reduce((sum, { connections }) => sum + connections, 0);
    const again = recorder.retries.filter(({ reason }) => reason === "closing").length;
    printFigure(
      `8 GOAWAY, ${protocol.name}`,
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
      `calls that ran twice: ${journal.doubles().length} of ${count(journal.arrivals().size)} (pass: 0)`,
      `${count(sessions)} sessions, ${lostUnderWay} of which ended with calls in flight`,
      `${again} calls were sent again`,
      `ejections: ${recorder.ejections} (pass: 0)`,
      `${count(result.achievedRate)} calls/s`,
    );
    expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
    // Each node ended a session in most of the rounds, and that with calls on it.
    expect(sessions).toBeGreaterThan((nodes * seconds * 1_000) / everyMs / 2);
    expect(lostUnderWay).toBeGreaterThan(nodes);
    expect(result.failed, result.describeFailures()).toHaveLength(0);
    expect(journal.doubles()).toEqual([]);
    expect(journal.arrivals().size).toBe(result.calls.length);
    expect(recorder.ejections).toBe(0);
  },
);
