/** Tests of stopping by signal, over a process that is played by hand. */
import { EventEmitter } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, it } from "vitest";
import { closeOnSignals, type SignalOptions, type SignalSource } from "./signals.ts";

class PlayedProcess extends EventEmitter implements SignalSource {
  readonly exits: number[] = [];

  exit(code: number): void {
    this.exits.push(code);
  }
}

it("closes one after the other at the first signal, and exits at the second", async () => {
  const process = new PlayedProcess();
  const closed: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = { close: () => gate.promise.then(() => closed.push("first")) };
  const second = { close: async () => closed.push("second") };
  const handle = closeOnSignals([first, second], { process });
  process.emit("SIGTERM", "SIGTERM");
  await nextTurn();
  expect(closed).toEqual([]);
  expect(process.exits).toEqual([]);
  process.emit("SIGINT", "SIGINT");
  expect(process.exits).toEqual([130]);
  process.emit("SIGTERM", "SIGTERM");
  expect(process.exits).toEqual([130, 143]);
  gate.resolve();
  await handle[Symbol.asyncDispose]();
  expect(closed).toEqual(["first", "second"]);
  expect(process.eventNames()).toEqual([]);
});

it("closes the rest when one cannot be closed, and says so at the end", async () => {
  const process = new PlayedProcess();
  const closed: string[] = [];
  const bad = { close: () => Promise.reject(new Error("stuck")) };
  const good = { close: async () => closed.push("good") };
  const handle = closeOnSignals([bad, good], { process, signals: ["SIGTERM"] });
  expect(process.eventNames()).toEqual(["SIGTERM"]);
  process.emit("SIGTERM", "SIGTERM");
  await expect(handle[Symbol.asyncDispose]()).rejects.toMatchObject({ errors: [{ message: "stuck" }] });
  expect(closed).toEqual(["good"]);
  expect(process.eventNames()).toEqual([]);
});

it("closes nothing when it is disposed of before any signal", async () => {
  const process = new PlayedProcess();
  await closeOnSignals({ close: () => Promise.reject(new Error("never")) }, { process })[
    Symbol.asyncDispose
  ]();
  expect(process.eventNames()).toEqual([]);
});

it("refuses what is no signal and what cannot be closed", () => {
  const signals = ["SIGSOFT"] as unknown as NonNullable<SignalOptions["signals"]>;
  expect(() => closeOnSignals([], { signals })).toThrow(/must name signals such as "SIGTERM", got "SIGSOFT"/);
  expect(() => closeOnSignals({} as never)).toThrow(/needs objects with close\(\)/);
});
