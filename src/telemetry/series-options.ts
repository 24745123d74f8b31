/** The options that decide which services and nodes get series, and how many at most. */
import { OptionReader } from "../core/option-reader.ts";

export interface SeriesOptions {
  /** The names of the services to tell of. Default: all. */
  readonly services?: readonly string[] | undefined;
  /**
   * How many nodes, over all services, get series of their own; the rest of a service's nodes are one, "other".
   * Default 20. With the default of `maxServices` there are less than 2,000 series in all, whatever comes: a node is
   * 49 of them at most, a service 62.
   */
  readonly maxNodes?: number | undefined;
  /** How many services get series of their own; the rest are one, "other". Default 10. */
  readonly maxServices?: number | undefined;
}

export interface SeriesLimits {
  /** Undefined for all. */
  readonly services: ReadonlySet<string> | undefined;
  readonly maxNodes: number;
  readonly maxServices: number;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function readSeriesOptions(options: OptionReader): SeriesLimits {
  const names = options.array("services", []);
  const isLimited = options.value("services") !== undefined;
  for (const name of names) new OptionReader({ name }, "services").string("name");
  return {
    services: isLimited ? new Set(names as readonly string[]) : undefined,
    maxNodes: options.number("maxNodes", { default: 20, min: 0, integer: true }),
    maxServices: options.number("maxServices", { default: 10, min: 1, integer: true }),
  };
}
