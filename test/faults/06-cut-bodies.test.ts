/** Fault 6: connections break (RST) or end (FIN) in the middle of an answer, at any of its bytes. */
import { expect, test } from "vitest";
import { createSeededRandom } from "../../src/core/random.ts";
import { count, printFigure } from "../support/figure.ts";
import { inOrder } from "../support/in-order.ts";
import { protocols } from "../support/protocols.ts";
import { first, startService } from "../support/service.ts";

const calls = 150;
/** Large enough for most cuts to hit it, and to need several reads. */
const body = Array.from({ length: 4_000 }, (_, line) => `${line}\n`).join("");
/** Head, body and chunk marks, and at the end of the range some cuts that come too late to bite. */
const mostCut = body.length + 1_000;

const cases = protocols.flatMap((protocol) =>
  (["reset", "truncate"] as const).flatMap((kind) =>
    [
      { framing: "a length", bodyMs: 0 },
      { framing: "chunks", bodyMs: 1 },
    ].map((framing) => ({ protocol, kind, ...framing })),
  ),
);

test.for(cases)(
  "no body with $framing that a $kind cut over $protocol.name is called complete, nor tried again",
  async ({ protocol, kind, framing, bodyMs }) => {
    await using service = await startService(
      `cut-${kind}-${bodyMs}`,
      2,
      { workMs: 0, body, bodyMs },
      { policy: inOrder(), health: { ejection: false }, retry: { budget: false } },
      { protocol, proxied: true },
    );
    const { balancer, backends, recorder } = service;
    const victim = first(service.proxies, "proxy");
    const cutAt = createSeededRandom(6);
    const short: string[] = [];
    const cutAfterHeaders: string[] = [];
    const failedBeforeHeaders: string[] = [];
    let whole = 0;

    for (let index = 0; index < calls; index++) {
      // The first node is tried first, by every call, and each time it breaks elsewhere.
      await victim.set({ kind, afterBytes: Math.floor(cutAt() * mostCut) });
      const key = String(index);
      // Every other call through fetch, and every fifth is not to run twice.
      const method = index % 5 === 0 ? "POST" : "GET";
      const headers = { "x-test-key": key };
      let delivered = false;
      try {
        let received: string;
        if (index % 2 === 0) {
          const response = await balancer.request({ path: "/", method, headers });
          delivered = true;
          received = await response.body.text();
        } else {
          const response = await balancer.fetch("/", { method, headers });
          delivered = true;
          received = await response.text();
        }
        if (received === body) whole++;
        else short.push(`${key}: ${received.length} of ${body.length}`);
      } catch (error) {
        if (delivered) cutAfterHeaders.push(key);
        else failedBeforeHeaders.push(`${method} ${key}: ${error}`);
      }
    }

    const stats = await Promise.all(backends.map((backend) => backend.stats()));
    const arrivals = (key: string): number => stats.reduce((sum, { keys }) => sum + (keys[key] ?? 0), 0);
    const triedAgain = cutAfterHeaders.filter((key) => arrivals(key) !== 1);
    const doubledPosts = Array.from({ length: calls / 5 }, (_, post) => String(5 * post)).filter(
      (key) => arrivals(key) > 1,
    );
    const failedGets = failedBeforeHeaders.filter((what) => what.startsWith("GET"));
    printFigure(
      `6 cut bodies, ${kind}, ${framing}, ${protocol.name}`,
      `short bodies called complete: ${short.length} of ${count(calls)} (pass: 0)`,
      `tried again after the headers: ${triedAgain.length} of ${cutAfterHeaders.length} that were cut (pass: 0)`,
      `GETs that failed before: ${failedGets.length} (pass: 0)`,
      `POSTs that ran twice: ${doubledPosts.length} (pass: 0)`,
      `${recorder.retries.length} were cut before and tried again, ${whole} came whole`,
    );

    expect(short).toEqual([]);
    // Over TLS a cut also hits handshakes, and headers that share a record with what is missing.
    expect(cutAfterHeaders.length, "bodies that were cut").toBeGreaterThan(0.05 * calls);
    expect(recorder.retries.length, "answers that were cut before the body").toBeGreaterThan(0);
    expect(triedAgain).toEqual([]);
    expect(failedGets).toEqual([]);
    expect(doubledPosts).toEqual([]);
    expect(balancer.nodes.map(({ inflight }) => inflight)).toEqual([0, 0]);
  },
);
