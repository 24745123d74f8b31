/** Declares tests that need some of the registry servers or interop programs. */
import { describe, it } from "vitest";
import { missingServers, mustHaveServers } from "./required.ts";

/**
 * Declares a suite. Where something is missing the suite's name says so and it counts as skipped, or fails when
 * EVENKEEL_REQUIRE_SERVERS is 1.
 *
 * @param needs by the names of `findServer`.
 */
export function describeWith(needs: readonly string[], name: string, body: () => void): void {
  const missing = missingServers(needs);
  if (missing.length === 0) {
    describe(name, body);
    return;
  }
  describe(`${name} (there is no ${missing.join(" and no ")}: run scripts/servers)`, () => {
    if (mustHaveServers) it("runs", () => Promise.reject(new Error(`missing: ${missing.join(", ")}`)));
    else it.skip("runs", () => {});
  });
}
