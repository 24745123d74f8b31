/** Tests of a protection as a whole: what it tells of itself, its drain, and its events, in virtual time. */
import diagnosticsChannel from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import { currentContext } from "../resilience/call-context.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type ProtectOptions, protect } from "./index.ts";

/** An answer that ends as Node.js's do, without a socket. */
class PlayedResponse {
  status = 0;
  readonly headers: Record<string, string> = {};
  headersSent = false;
  writableEnded = false;
  readonly statusCode = 200;
  readonly #listeners = new Map<string, () => void>();

  hasHeader(name: string): boolean {
    return name in this.headers;
  }

  setHeader(name: string, value: string): void {
    this.headers[name] = value;
  }

  getHeaderNames(): string[] {
    return Object.keys(this.headers);
  }

  removeHeader(name: string): void {
    delete this.headers[name];
  }

  writeHead(status: number): void {
    this.status = status;
    this.headersSent = true;
  }

  end(): void {
    this.writableEnded = true;
    this.#listeners.get("finish")?.();
  }

  once(event: "finish" | "close", listener: () => void): void {
    this.#listeners.set(event, listener);
  }
}

function start(options: ProtectOptions = {}) {
  const clock = new ManualClock(1_000);
  const protection = protect({
    clock,
    limits: { inflight: 1, adaptive: false },
    ...options,
  });
  const held: PlayedResponse[] = [];
  const serve = protection.listener((_, response: PlayedResponse) => held.push(response));
  const send = (url: string, headers: Record<string, string> = {}): PlayedResponse => {
    const response = new PlayedResponse();
    serve({ method: "GET", url, headers, emit: () => true }, response);
    return response;
  };
  return { clock, protection, held, send };
}

const events: unknown[] = [];
const onShed = (event: unknown): void => void events.push(event);
afterEach(() => {
  diagnosticsChannel.unsubscribe("evenkeel:shed", onShed);
  events.length = 0;
});

describe("a protection", () => {
  it("does not let in less because a service below hangs", () => {
    const { clock, protection } = start({
      limits: { adaptive: { min: 1, initial: 20 }, turnMs: Number.POSITIVE_INFINITY },
    });
    const statuses: number[] = [];
    const serve = protection.listener(({ url }, response: PlayedResponse) => {
      const context = currentContext();
      const hangs = url === "/hangs";
      clock.schedule(
        () => {
          if (hangs) context?.noteFailureBelow();
          response.writeHead(hangs ? 502 : 200);
          response.end();
          statuses.push(response.status);
        },
        hangs ? 950 : 40,
      );
    });
    const send = (url: string, calls: number): void => {
      for (let call = 0; call < calls; call++) {
        serve({ method: "GET", url, headers: {}, emit: () => true }, new PlayedResponse());
      }
    };
    for (let tenth = 0; tenth < 300; tenth++) {
      if (tenth >= 100) send("/hangs", tenth % 5 === 0 ? 2 : 1);
      // With those that hang, as many as the limit is at first, or one more.
      send("/quick", 9);
      clock.advance(100);
    }
    // Until the limit has grown.
    expect(protection.status.refused.concurrency).toBeLessThanOrEqual(10);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(2_690);
  });

  it("tells how it stands, and publishes what it sheds", () => {
    diagnosticsChannel.subscribe("evenkeel:shed", onShed);
    const { protection, held, send } = start({ name: "orders" });
    send("/a");
    expect(send("/b?secret", { "evenkeel-priority": "sheddable" }).status).toBe(503);
    expect(send("/c", { "grpc-timeout": "0m" }).status).toBe(504);
    expect(protection.status).toEqual({
      draining: false,
      inflight: 1,
      limit: 1,
      refused: { deadline: 1, eventLoop: 0, concurrency: 1 },
    });
    expect(events).toEqual([
      {
        service: "orders",
        method: "GET",
        path: "/b?secret",
        priority: "sheddable",
        reason: "concurrency",
        inflight: 1,
        limit: 1,
      },
      expect.objectContaining({ path: "/c", priority: "default", reason: "deadline" }),
    ]);
    held[0]?.end();
    expect(protection.status.inflight).toBe(0);
  });

  it("answers for a handler when the deadline passes, and lets go of every timer", () => {
    const { clock, protection, send } = start();
    const response = send("/", { "grpc-timeout": "250m" });
    clock.advance(249);
    expect(response.status).toBe(0);
    clock.advance(1);
    expect(response).toMatchObject({ status: 504, writableEnded: true });
    expect(protection.status.inflight).toBe(0);
    const quick = send("/", { "grpc-timeout": "250m" });
    quick.writeHead(200);
    quick.end();
    expect(clock.pendingTimers).toBe(0);
  });

  it("takes no answer away that has begun when the deadline passes", () => {
    const { clock, send } = start();
    const response = send("/", { "grpc-timeout": "250m" });
    response.writeHead(200);
    clock.advance(250);
    expect(response).toMatchObject({ status: 200, writableEnded: false });
  });

  it("waits, when it is closed, until whoever asks for readiness has heard", async () => {
    const { clock, protection, send } = start({ drainMs: 3_000 });
    let isClosed = false;
    const closed = protection.close().then(() => {
      isClosed = true;
    });
    expect(protection.drainSignal.aborted).toBe(true);
    expect(send("/readyz").status).toBe(503);
    await clock.advanceAsync(2_999);
    expect(isClosed).toBe(false);
    await clock.advanceAsync(1);
    await closed;
    await protection[Symbol.asyncDispose]();
    expect(clock.pendingTimers).toBe(0);
  });

  it("answers no health where it is not to", () => {
    const { held, send } = start({ health: false });
    send("/livez");
    expect(held).toHaveLength(1);
  });
});
