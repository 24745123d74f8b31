/** Which registry servers are missing on this machine, and whether that is a failure. */
import { findServer } from "./servers.ts";

/** The continuous build sets it: there, a test that did not run has not passed. */
export const mustHaveServers: boolean = process.env.EVENKEEL_REQUIRE_SERVERS === "1";

export function missingServers(names: readonly string[]): readonly string[] {
  return names.filter((name) => findServer(name) === undefined);
}
