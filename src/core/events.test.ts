/** Tests that the channels are those that DESIGN.md names. */
import { channel } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import * as events from "./events.ts";

describe("events", () => {
  it("are published on Node's own channels, under the names of DESIGN.md", () => {
    const names = Object.values(events).map(({ name }) => String(name));
    expect(names.sort()).toEqual([
      "evenkeel:attempt:end",
      "evenkeel:attempt:start",
      "evenkeel:call:end",
      "evenkeel:call:start",
      "evenkeel:discovery:error",
      "evenkeel:discovery:update",
      "evenkeel:limit:error",
      "evenkeel:node:state",
      "evenkeel:registration:error",
      "evenkeel:registration:state",
      "evenkeel:reject",
      "evenkeel:retry",
      "evenkeel:shed",
    ]);
    for (const one of Object.values(events)) {
      expect(one).toBe(channel(one.name));
      expect(one.hasSubscribers).toBe(false);
    }
  });
});
