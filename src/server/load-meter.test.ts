/** Tests of what a process reports of itself, over figures that are played. */
import { expect, it } from "vitest";
import { LoadMeter, type ProcessUse, thisProcess } from "./load-meter.ts";

class PlayedUse implements ProcessUse {
  cpu = 5_000;
  loop = 4_000;
  readonly processors = 4;

  cpuMs(): number {
    return this.cpu;
  }

  loopActiveMs(): number {
    return this.loop;
  }

  memory(): readonly [number, number] {
    return [300, 1_000];
  }
}

it("reports calls and errors per second, and what is in use, of the last second", () => {
  const use = new PlayedUse();
  const meter = new LoadMeter(use, 10_000);
  for (let call = 0; call < 100; call++) meter.count(call % 10 === 0, 10_000 + 10 * call);
  expect(meter.report(3, 10_999)).toEqual({ inflight: 3 });
  use.cpu += 1_000;
  use.loop += 1_500;
  const sample = {
    applicationUtilization: 0.75,
    cpuUtilization: 0.125,
    memUtilization: 0.3,
    rps: 50,
    eps: 5,
  };
  expect(meter.report(4, 12_000)).toEqual({ ...sample, inflight: 4 });
  use.loop += 900;
  expect(meter.report(5, 12_999)).toEqual({ ...sample, inflight: 5 });
  expect(meter.report(6, 13_000)).toMatchObject({
    applicationUtilization: 0.9,
    cpuUtilization: 0,
    inflight: 6,
  });
});

it("counts over ten seconds, and forgets what was before", () => {
  const meter = new LoadMeter(new PlayedUse(), 0);
  for (let second = 0; second < 30; second++) {
    for (let call = 0; call < 20; call++) meter.count(second < 15, second * 1_000 + 500);
  }
  expect(meter.report(0, 29_999)).toMatchObject({ rps: 20, eps: 0 });
});

it("finds figures that can be in this process", () => {
  const [used, total] = thisProcess.memory();
  expect(used).toBeGreaterThan(0);
  expect(used).toBeLessThan(total);
  expect(thisProcess.cpuMs()).toBeGreaterThan(0);
  expect(thisProcess.loopActiveMs()).toBeGreaterThanOrEqual(0);
  expect(thisProcess.processors).toBeGreaterThanOrEqual(1);
});
