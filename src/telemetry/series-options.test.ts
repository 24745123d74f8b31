/** The limits' defaults, and what is refused. */
import { expect, it } from "vitest";
import { OptionReader } from "../core/option-reader.ts";
import { readSeriesOptions, type SeriesOptions } from "./series-options.ts";

const read = (options: SeriesOptions) => readSeriesOptions(new OptionReader(options, "otel"));

it("has defaults", () => {
  expect(read({})).toEqual({ services: undefined, maxNodes: 20, maxServices: 10 });
  expect(read({ services: ["orders"], maxNodes: 0, maxServices: 1 })).toEqual({
    services: new Set(["orders"]),
    maxNodes: 0,
    maxServices: 1,
  });
});

it.each([
  [{ maxNodes: -1 }, "otel.maxNodes must be an integer of at least 0, got -1"],
  [{ maxServices: 0 }, "otel.maxServices must be an integer of at least 1, got 0"],
  [{ services: "orders" }, 'otel.services must be an array, got "orders"'],
  [{ services: [5] }, "must be a non-empty string, got 5"],
])("refuses %j", (options, message) => {
  expect(() => read(options as unknown as SeriesOptions)).toThrow(message);
});
