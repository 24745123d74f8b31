/** Tests of what `protect()` takes, and of what it makes of it. */
import { expect, it } from "vitest";
import { type ProtectOptions, resolveProtectOptions } from "./protect-options.ts";

it("has a default for everything", () => {
  expect(resolveProtectOptions({})).toMatchObject({
    name: "server",
    deadlineHeader: "grpc-timeout",
    adaptive: { min: 1, max: 1_000, initial: 50 },
    inflight: Number.POSITIVE_INFINITY,
    turnMs: 100,
    exempt: undefined,
    health: { live: "/livez", ready: "/readyz" },
    loadReports: true,
    drainMs: 5_000,
  });
});

it("takes parts of what belongs together", () => {
  expect(resolveProtectOptions({ limits: false, health: false })).toMatchObject({
    adaptive: undefined,
    turnMs: Number.POSITIVE_INFINITY,
    health: undefined,
  });
  expect(
    resolveProtectOptions({ limits: { adaptive: { max: 20 } }, health: { ready: "/ready" } }),
  ).toMatchObject({
    adaptive: { min: 1, max: 20, initial: 20 },
    health: { live: "/livez", ready: "/ready" },
  });
  expect(resolveProtectOptions({ limits: { adaptive: { min: 2_000 } } }).adaptive).toEqual({
    min: 2_000,
    max: 2_000,
    initial: 2_000,
  });
  expect(resolveProtectOptions({ deadlineHeader: "X-Timeout-Ms" }).deadlineHeader).toBe("x-timeout-ms");
});

it.each<[options: unknown, message: RegExp]>([
  [{ limit: {} }, /unknown option protect\.limit .*"limits"/],
  [{ limits: { adaptive: { mid: 3 } } }, /unknown option protect\.limits\.adaptive\.mid/],
  [{ limits: { inflight: 0 } }, /protect\.limits\.inflight must be a number from 1/],
  [
    { limits: { adaptive: { min: 5, max: 4 } } },
    /protect\.limits\.adaptive\.max must be an integer from 5|of at least 5/,
  ],
  [{ limits: true }, /protect\.limits must be an object/],
  [{ limits: { turnMs: "1s" } }, /protect\.limits\.turnMs must be a number, got "1s"/],
  [{ deadlineHeader: "x timeout" }, /deadlineHeader must be the name of a header, got "x timeout"/],
  [{ health: { live: "livez" } }, /protect\.health\.live must be a path from \/, got "livez"/],
  [{ health: { live: "/z", ready: "/z" } }, /must differ/],
  [{ exempt: "/sse" }, /protect\.exempt must be a function/],
])("refuses %j", (options, message) => {
  expect(() => resolveProtectOptions(options as ProtectOptions)).toThrow(message);
});
