/** Fault 10: the caller asks for 1,000 answers and never reads a body. */
import { expect, test } from "vitest";
import { count, ms, printFigure } from "../support/figure.ts";
import { isMultiplexed, protocols } from "../support/protocols.ts";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const calls = 1_000;
const nodes = 3;
const perNode = 10;
const totalMs = 2_000;
const small = "x".repeat(1_000);
/** More than a stream's memory and the kernel's together take in. */
const large = "x".repeat(8 * 2 ** 20);
/** More than a stream's window is enough over HTTP/2, where a Node.js server holds 10 MB for a connection at most. */
const largeForStream = "x".repeat(2 ** 19);
const maxStreams = 10;

const cases = protocols.flatMap((protocol) =>
  // A body that is here as a whole leaves its connection free; one that is not holds it until the deadline.
  [
    { protocol, size: "small", body: small, holds: false },
    { protocol, size: "large", body: isMultiplexed(protocol) ? largeForStream : large, holds: true },
  ].flatMap((row) => [
    { ...row, through: "request" },
    { ...row, through: "fetch" },
  ]),
);

test.for(cases)(
  "1,000 $size bodies that nobody reads through $through over $protocol.name hold no more than perNode sockets, and none for long",
  async ({ protocol, size, body, holds, through }) => {
    await using service = await startService(
      `unread-${size}-${through}`,
      nodes,
      { workMs: 0, workers: calls, body },
      { timeouts: { totalMs, attemptMs: totalMs, connectMs: totalMs }, connections: { perNode, maxStreams } },
      { protocol },
    );
    const { balancer, recorder } = service;
    let open = 0;
    let peak = 0;
    balancer.on("connect", () => {
      peak = Math.max(peak, ++open);
    });
    balancer.on("disconnect", () => {
      open--;
    });
    const inflight = (): number => balancer.nodes.reduce((sum, node) => sum + node.inflight, 0);

    const startedAt = performance.now();
    // Kept, so that it is not the garbage collector that lets go of them.
    const answers = await Promise.allSettled(
      Array.from(
        { length: calls },
        (): Promise<object> =>
          through === "fetch" ? balancer.fetch("/") : balancer.request({ path: "/", method: "GET" }),
      ),
    );
    const answered = answers.filter(({ status }) => status === "fulfilled").length;
    await until("nothing is in flight", () => inflight() === 0, totalMs + 3_000);
    const freedMs = performance.now() - startedAt;
    const ejections = recorder.ejections;

    await Promise.all(service.backends.map((backend) => backend.configure({ body: small })));
    const later = await Promise.allSettled(Array.from({ length: 100 }, () => service.call()));
    const failedLater = later.filter(({ status }) => status === "rejected").length;
    printFigure(
      `10 unread bodies, ${size}, ${through}, ${protocol.name}`,
      `at most ${peak} sockets for ${count(calls)} bodies (pass: ${nodes * perNode})`,
      `nothing in flight ${ms(freedMs)} after the start (pass: ${holds ? `the deadline of ${ms(totalMs)} + 100 ms` : "no wait"})`,
      `${answered} were answered`,
      `ejections: ${ejections} (pass: 0)`,
      `failed later: ${failedLater} of ${later.length} (pass: 0)`,
    );
    expect(peak).toBeLessThanOrEqual(nodes * perNode);
    expect(answered).toBeGreaterThanOrEqual(holds ? nodes * perNode : calls);
    // The mark is 100 ms; the rest is for the machine.
    expect(freedMs).toBeLessThanOrEqual(totalMs + 100 + 1_900);
    if (holds) expect(freedMs, "the bodies held their connections").toBeGreaterThanOrEqual(totalMs - 10);
    expect(failedLater).toBe(0);
    expect(ejections).toBe(0);
    expect(answers).toHaveLength(calls);
  },
);
