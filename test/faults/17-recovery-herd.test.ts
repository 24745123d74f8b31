/** Fault 17: nodes that were out come back under load: one call at a time tries them, not a herd. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { roundRobin } from "../../src/index.ts";
import type { Backend } from "../../src/testing/backend.ts";
import { type DriveResult, drive } from "../support/drive.ts";
import { count, printFigure } from "../support/figure.ts";
import { h2c, http1 } from "../support/protocols.ts";
import type { Recorder } from "../support/recorder.ts";
import { startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const rate = 1_000;

/** While a node was out: its trials, the attempts that it got, and the most that it had at one time. */
function probesOf(address: string, recorder: Recorder): { trials: number; attempts: number; atOnce: number } {
  const outSince = recorder.changesTo(address, "down", "ejected").map(({ at }) => at);
  const backAt = recorder.changesTo(address, "ready").map(({ at }) => at);
  /** When it went out for what was its state at that time; undefined while it was in service. */
  const outAt = (at: number): number | undefined => {
    const lastBack = backAt.findLast((back) => back <= at) ?? 0;
    return outSince.find((out) => out > lastBack && out < at);
  };
  const changes = [
    ...recorder.startsOn(address).flatMap(({ at }) => (outAt(at) === undefined ? [] : [{ at, change: 1 }])),
    ...recorder.endsOn(address).flatMap(({ at, durationMs }) =>
      // What began before it went out is no trial. The end of the one that passed comes after the return.
      outAt(at - durationMs) === undefined ? [] : [{ at, change: -1 }],
    ),
  ].sort((a, b) => a.at - b.at);
  let running = 0;
  let attempts = 0;
  let atOnce = 0;
  for (const { change } of changes) {
    running += change;
    if (change === 1) attempts++;
    atOnce = Math.max(atOnce, running);
  }
  return { trials: recorder.changesTo(address, "probing").length, attempts, atOnce };
}

const cases = [http1, h2c].flatMap((protocol) => [
  {
    protocol,
    what: "killed",
    breakNode: async (backend: Backend): Promise<void> => backend.kill(),
    mend: (backend: Backend): Promise<Backend> => backend.restart(),
  },
  {
    protocol,
    what: "frozen",
    breakNode: async (backend: Backend): Promise<void> => backend.freeze(),
    mend: async (backend: Backend): Promise<Backend> => {
      backend.thaw();
      return backend;
    },
  },
]);

test.for(cases)(
  "two of five nodes that were $what come back over $protocol.name with one call on trial at a time",
  async ({ protocol, what, breakNode, mend }) => {
    await using service = await startService(
      `herd-${what}`,
      5,
      { workMs: 5, workers: 100 },
      { policy: roundRobin(), timeouts: { attemptMs: 200 }, health: { ejection: { baseMs: 800 } } },
      { protocol },
    );
    const { balancer, recorder } = service;
    const victims = service.backends.slice(0, 2);
    await using mended = new AsyncDisposableStack();
    const stateOf = (address: string): string | undefined =>
      balancer.nodes.find((node) => node.address === address)?.state;

    const driving: Promise<DriveResult> = drive({ ratePerSecond: rate, seconds: 7 }, () => service.call());
    await sleep(1_000);
    await Promise.all(victims.map(breakNode));
    // A trial that fails comes before the one that passes.
    const failedTrials = (address: string): number =>
      recorder.changesTo(address, "down", "ejected").length - 1;
    await until(
      "a trial of each failed",
      () => victims.every(({ address }) => failedTrials(address) >= 1),
      4_000,
    );
    const statesWhileBroken = victims.map(({ address }) => stateOf(address));
    for (const backend of await Promise.all(victims.map(mend))) mended.use(backend);
    const result = await driving;
    const areBack = (): boolean => victims.every(({ address }) => stateOf(address) === "ready");
    // Penalties double: where the new processes were not there in time, it is the next trial but one that passes.
    for (let round = 0; round < 20 && !areBack(); round++) {
      await drive({ ratePerSecond: 200, seconds: 0.5 }, () => service.call());
    }

    const probes = victims.map(({ address }) => probesOf(address, recorder));
    const [first = [], second = []] = victims.map(({ address }) =>
      recorder.changesTo(address, "probing").map(({ at }) => at),
    );
    const apart = Math.min(...first.flatMap((at) => second.map((other) => Math.abs(at - other))));
    printFigure(
      `17 recovery herd, ${what}, ${protocol.name}`,
      `most calls on trial at once, by node: ${probes.map(({ atOnce }) => atOnce).join(" ")} (pass: 1)`,
      `attempts while out: ${probes.map(({ attempts }) => attempts).join(" ")} in ${probes.map(({ trials }) => trials).join(" ")} trials (pass: one each)`,
      `trials of the two at least ${count(apart)} ms apart`,
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
      `${count(result.achievedRate)} calls/s`,
    );
    expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(areBack(), "both are back").toBe(true);
    expect(statesWhileBroken.every((state) => state !== "ready")).toBe(true);
    for (const { trials, attempts, atOnce } of probes) {
      // One that failed while it was broken, and one that passed.
      expect(trials).toBeGreaterThanOrEqual(2);
      expect(attempts).toBe(trials);
      expect(atOnce).toBe(1);
    }
    expect(result.failed, result.describeFailures()).toHaveLength(0);
  },
);
