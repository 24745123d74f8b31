/** Fault 21: a service has no endpoint, or a single one that fails. */
import { expect, test } from "vitest";
import { Balancer, BalancerError } from "../../src/index.ts";
import { startBackend } from "../../src/testing/backend.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { Recorder } from "../support/recorder.ts";
import { startService } from "../support/service.ts";

test("without endpoints a call fails at once with ERR_NO_NODE", async () => {
  using recorder = new Recorder("nobody");
  await using balancer = new Balancer({ name: "nobody", discovery: [] });
  const times: number[] = [];
  for (let call = 0; call < 200; call++) {
    const startedAt = performance.now();
    const error: unknown = await balancer.request({ path: "/", method: "GET" }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    times.push(performance.now() - startedAt);
    expect(error).toBeInstanceOf(BalancerError);
    expect((error as BalancerError).code).toBe("ERR_NO_NODE");
  }
  printFigure(
    "21 no endpoint",
    `ERR_NO_NODE after ${ms(percentile(times, 0.5))}, p99 ${ms(percentile(times, 0.99))} (pass: 5 ms)`,
    `rejects: ${recorder.rejects.length}`,
  );
  expect(recorder.rejects).toHaveLength(times.length);
  expect(recorder.starts).toHaveLength(0);
  expect(percentile(times, 0.5)).toBeLessThanOrEqual(5);
  // Beyond the mark only for the machine's own pauses.
  expect(percentile(times, 0.99)).toBeLessThanOrEqual(50);
});

test("the only endpoint is never ejected, whatever it answers", async () => {
  await using service = await startService("alone", 1, { status: 500 }, { retry: false });
  const { balancer, recorder } = service;
  for (let call = 0; call < 100; call++) await expect(service.call()).rejects.toThrow("status 500");
  const failures = balancer.nodes[0]?.failures;
  const state = balancer.nodes[0]?.state;
  const wasFailingOpen = balancer.failingOpen;

  // Nor when it refuses connections, which takes any other node out at the first sign.
  const [backend] = service.backends;
  await backend?.kill();
  for (let call = 0; call < 100; call++) await expect(service.call()).rejects.toThrow(BalancerError);
  const refused = recorder.ends.filter(({ reason }) => reason === "refused").length;
  const port = Number(new URL(backend?.address ?? "").port);
  const revived = await startBackend({ workMs: 0 }, port);
  try {
    await service.call();
    printFigure(
      "21 one endpoint",
      `ejections after ${failures} answers of 500 and ${refused} refused connections: ${recorder.ejections} (pass: 0)`,
      `failing open: ${wasFailingOpen}`,
      `first call after its return: answered, failures in all ${count(balancer.nodes[0]?.failures ?? 0)}`,
    );
    expect(failures).toBe(100);
    expect(state).toBe("ready");
    expect(wasFailingOpen).toBe(true);
    expect(refused).toBeGreaterThanOrEqual(99);
    expect(recorder.ejections).toBe(0);
    expect(balancer.failingOpen).toBe(false);
  } finally {
    await revived.kill();
  }
});
