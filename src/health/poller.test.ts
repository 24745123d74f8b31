/** Tests when a node is probed, what a probe may take, and what is reported of it, in virtual time. */
import { describe, expect, it } from "vitest";
import { parseAddress } from "../core/address.ts";
import type { CheckResult, CheckTarget } from "../core/health-check.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import { createSeededRandom } from "../core/random.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Poller, type PollRules, pollDelayMs } from "./poller.ts";

const usual: PollRules = { intervalMs: 5_000, timeoutMs: 1_000, rise: 2, fall: 3, jitter: 0 };
const bad = failure("status", "status 503");

/** A poller in virtual time whose probes end when, and as, the test says. */
class Harness {
  readonly clock: ManualClock = new ManualClock(1_000);
  readonly reports: CheckResult[] = [];
  readonly startedAt: number[] = [];
  cancelled = 0;
  isWaitingForNode = true;
  /** What a probe ends with, and how long it takes; it hangs with undefined. */
  outcome: Outcome | undefined = success;
  tookMs = 10;
  readonly poller: Poller;
  #end: ((outcome: Outcome) => void) | undefined = undefined;

  constructor(rules: Partial<PollRules> = {}, random: Random = () => 0) {
    const target: CheckTarget = {
      service: "orders",
      address: parseAddress("http://a"),
      origin: new URL("http://a"),
      servername: "a",
      tls: {},
      clock: this.clock,
      random,
      dispatcher: () => undefined,
    };
    const probe = (_: CheckTarget, end: (outcome: Outcome) => void) => {
      this.startedAt.push(this.clock.now());
      this.#end = end;
      const { outcome } = this;
      if (outcome !== undefined) this.clock.schedule(() => end(outcome), this.tookMs);
      const harness = this;
      return {
        get isWaitingForNode() {
          return harness.isWaitingForNode;
        },
        cancel: () => {
          this.cancelled++;
        },
      };
    };
    this.poller = new Poller(target, { ...usual, ...rules }, probe, (result) => this.reports.push(result));
  }

  /** Ends the latest probe from outside. */
  end(outcome: Outcome): void {
    this.#end?.(outcome);
  }

  /** Milliseconds between the starts of the probes. */
  get gaps(): readonly number[] {
    return this.startedAt.slice(1).map((at, index) => at - (this.startedAt[index] as number));
  }

  get details(): readonly string[] {
    return this.reports.map(({ healthy, detail }) => (healthy ? "healthy" : detail));
  }
}

describe("the times of the probes", () => {
  it("begin after a random part of the interval and go on from the end of each", () => {
    const harness = new Harness({}, () => 0.4);
    harness.clock.advance(1_999);
    expect(harness.startedAt).toEqual([]);
    harness.clock.advance(1);
    expect(harness.startedAt).toEqual([3_000]);
    harness.clock.advance(11_000);
    expect(harness.gaps).toEqual([5_010, 5_010]);
  });

  it("are spread evenly over the interval, so that many nodes are not probed in step", () => {
    const random = createSeededRandom(7);
    const starts = Array.from({ length: 400 }, () => {
      const harness = new Harness({}, random);
      harness.clock.advance(5_000);
      return (harness.startedAt[0] as number) - 1_000;
    });
    // 100 are expected in each quarter, with a standard deviation of 8.7; four of them are 35.
    for (const quarter of [0, 1, 2, 3]) {
      const inside = starts.filter((at) => at >= quarter * 1_250 && at < (quarter + 1) * 1_250).length;
      expect(Math.abs(inside - 100)).toBeLessThan(35);
    }
  });

  it("vary by the jitter, to both sides", () => {
    const rules = { ...usual, jitter: 0.1 };
    expect([0, 0.5, 1].map((random) => pollDelayMs(rules, true, random))).toEqual([4_500, 5_000, 5_500]);
  });

  it("are four times as frequent while a node is down, but not more than each second", () => {
    const faster = [20_000, 5_000, 4_000, 2_000, 1_000, 100].map((intervalMs) =>
      pollDelayMs({ ...usual, intervalMs }, false, 0.5),
    );
    expect(faster).toEqual([5_000, 1_250, 1_000, 1_000, 1_000, 100]);
  });

  it("are frequent from the start until the node passes, and after it has fallen until it has risen", () => {
    const harness = new Harness();
    harness.outcome = bad;
    harness.clock.advance(1_260 * 3 - 1);
    harness.outcome = success;
    // The third has made the node fall, and the fifth brings it back.
    harness.clock.advance(1_260 * 2 + 5_010 * 2);
    expect(harness.gaps).toEqual([1_260, 1_260, 1_260, 1_260, 5_010, 5_010]);
    harness.outcome = bad;
    harness.clock.advance(5_010 * 3 + 1_260);
    expect(harness.gaps.slice(6)).toEqual([5_010, 5_010, 5_010, 1_260]);
  });
});

describe("the verdicts", () => {
  it("are reported when settled, with what the last probe met and how often in a row", () => {
    const harness = new Harness({ intervalMs: 1_000 });
    harness.clock.advance(20);
    harness.outcome = bad;
    harness.clock.advance(2_020);
    expect(harness.details).toEqual(["healthy"]);
    harness.clock.advance(2_020);
    expect(harness.details).toEqual(["healthy", "status 503 (3 in a row)", "status 503 (4 in a row)"]);
    harness.outcome = success;
    harness.clock.advance(1_010);
    expect(harness.reports).toHaveLength(3);
    harness.clock.advance(1_010);
    expect(harness.details.at(-1)).toBe("healthy");
  });

  it("name the reason where there is no detail, and count only from two on", () => {
    const harness = new Harness({ fall: 1 });
    harness.outcome = failure("reset", "");
    harness.clock.advance(10);
    expect(harness.details).toEqual(["reset"]);
  });

  it("are none for what is no fault of the node, which does not break a row either", () => {
    const harness = new Harness({ intervalMs: 1_000 });
    harness.outcome = bad;
    harness.clock.advance(10);
    for (const outcome of [bad, ignored("shortage", "EMFILE"), bad]) {
      expect(harness.reports).toEqual([]);
      harness.outcome = outcome;
      harness.clock.advance(1_010);
    }
    expect(harness.details).toEqual(["status 503 (3 in a row)"]);
  });

  it("may end the watch from inside", () => {
    const harness = new Harness({ fall: 1 });
    const { reports } = harness;
    reports.push = (...given) => {
      harness.poller[Symbol.dispose]();
      return Array.prototype.push.apply(reports, given);
    };
    harness.clock.advance(60_000);
    expect(reports).toHaveLength(1);
    expect(harness.startedAt).toHaveLength(1);
    expect(harness.clock.pendingTimers).toBe(0);
  });
});

describe("the time that a probe may take", () => {
  it("is timeoutMs exactly, after which it is given up and has failed", () => {
    const harness = new Harness({ fall: 1 });
    harness.outcome = undefined;
    harness.clock.advance(999);
    expect(harness.cancelled).toBe(0);
    harness.clock.advance(1);
    expect(harness.cancelled).toBe(1);
    expect(harness.details).toEqual(["no answer within 1000 ms"]);
    // What comes after that does not count.
    harness.end(success);
    expect(harness.reports).toHaveLength(1);
  });

  it("says nothing when the probe waited for something of our own", () => {
    const harness = new Harness({ fall: 1 });
    harness.outcome = undefined;
    harness.isWaitingForNode = false;
    harness.clock.advance(1_000);
    expect(harness.cancelled).toBe(1);
    expect(harness.reports).toEqual([]);
  });

  it("leaves out the time in which this process was blocked, at its end", () => {
    const harness = new Harness({ fall: 1 });
    harness.outcome = undefined;
    harness.clock.advance(100);
    harness.clock.block(10_000);
    // Overdue timers fire first; what the node sent meanwhile is read after them.
    harness.clock.advance(0);
    harness.end(success);
    expect(harness.details).toEqual(["healthy"]);
  });

  it("leaves it out in its midst, too, and goes on for as long as was lost", () => {
    const harness = new Harness({ fall: 1 });
    harness.outcome = undefined;
    harness.clock.advance(100);
    harness.clock.block(700);
    harness.clock.advance(0);
    // 700 ms of the 800 were blocked, less the 50 after which a tick was due.
    harness.clock.advance(849);
    expect(harness.cancelled).toBe(0);
    harness.clock.advance(1);
    expect(harness.details).toEqual(["no answer within 1000 ms"]);
  });
});

describe("a probe that cannot be started", () => {
  it("has failed, and the next one follows", () => {
    const clock = new ManualClock();
    const reports: CheckResult[] = [];
    const target = { clock, random: () => 0 } as unknown as CheckTarget;
    const unreadable = () => {
      throw Object.assign(new Error("no start line"), { code: "ERR_OSSL_PEM_NO_START_LINE" });
    };
    const poller = new Poller(target, usual, unreadable, (result) => reports.push(result));
    clock.advance(3 * 1_250);
    expect(reports[0]).toEqual({ healthy: false, detail: "ERR_OSSL_PEM_NO_START_LINE (3 in a row)" });
    poller[Symbol.dispose]();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("the end of the watch", () => {
  it("gives up the probe that runs, leaves no timer and reports no more", () => {
    const harness = new Harness({ fall: 1 });
    harness.outcome = undefined;
    harness.clock.advance(500);
    harness.poller[Symbol.dispose]();
    expect(harness.cancelled).toBe(1);
    expect(harness.clock.pendingTimers).toBe(0);
    harness.end(bad);
    harness.clock.advance(60_000);
    expect(harness.reports).toEqual([]);
    expect(harness.startedAt).toHaveLength(1);
  });

  it("comes before the first probe as well", () => {
    const harness = new Harness({}, () => 0.5);
    harness.poller[Symbol.dispose]();
    harness.clock.advance(60_000);
    expect(harness.startedAt).toEqual([]);
    expect(harness.clock.pendingTimers).toBe(0);
  });
});
