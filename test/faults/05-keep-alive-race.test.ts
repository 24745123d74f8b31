/** Fault 5: servers close idle connections just as the next request is sent into them. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { createSeededRandom } from "../../src/core/random.ts";
import { count, printFigure } from "../support/figure.ts";
import { Journal } from "../support/journal.ts";
import { http1 } from "../support/protocols.ts";
import { startService } from "../support/service.ts";

const idleMs = 100;
const callers = 100;
const gets = 10_000;
/** After each ten GETs. */
const posts = gets / 10;

// Over HTTP/2 an idle session ends with GOAWAY, which is fault 8.
test.for([http1])(
  `servers that close idle connections after ${idleMs} ms fail no GET and double no POST over $name`,
  async (protocol) => {
    using journal = new Journal();
    await using service = await startService(
      "keep-alive-race",
      3,
      { workMs: 0, workers: callers, keepAliveTimeoutMs: idleMs, journal: journal.path },
      {},
      { protocol },
    );
    const { recorder } = service;
    const random = createSeededRandom(5);
    const failedGets: unknown[] = [];
    const failedPosts: unknown[] = [];
    let next = 0;
    await Promise.all(
      Array.from({ length: callers }, async () => {
        while (next < gets + posts) {
          const index = next++;
          const isPost = index % 11 === 10;
          await service
            .call(isPost ? "POST" : "GET", isPost ? { "x-test-key": String(index) } : {})
            .catch((error: unknown) => (isPost ? failedPosts : failedGets).push(error));
          // About when the connection is closed: whoever calls then may find it open and lose it.
          await sleep(idleMs - 1 + random() * 3);
        }
      }),
    );

    const cut = recorder.ends.filter(({ reason }) => reason === "reset" || reason === "closing");
    const cutPosts = cut.filter(({ method }) => method === "POST");
    printFigure(
      `5 keep-alive race, ${protocol.name}`,
      `${failedGets.length} of ${count(gets)} GETs failed (pass: 0)`,
      `POSTs that ran twice: ${journal.doubles().length} of ${count(posts)} (pass: 0)`,
      `${failedPosts.length} POSTs failed of ${cutPosts.length} that the race cut (pass: no other)`,
      `it cut ${cut.length - cutPosts.length} GETs`,
      `ejections: ${recorder.ejections}`,
    );
    expect(cut.length - cutPosts.length, "GETs that the race cut").toBeGreaterThan(0);
    expect(failedGets).toEqual([]);
    expect(journal.doubles()).toEqual([]);
    expect(failedPosts.length).toBeLessThanOrEqual(cutPosts.length);
    expect(journal.arrivals().size).toBeGreaterThanOrEqual(posts - cutPosts.length);
  },
);
