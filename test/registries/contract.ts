/**
 * What every source and every registry has to do with its real server, as one list of tests for all of them.
 *
 * Each test starts a server of its own, writes to it with a foreign client and looks at what a client of ours sees, as a
 * cluster's guard would see it. `contract.test.ts` shows on a registry in memory that each test bites.
 */
import { describe, it } from "vitest";
import { outageTests } from "./contract/outages.ts";
import { registrationTests } from "./contract/registrations.ts";
import { sourceTests } from "./contract/sources.ts";
import type { RegistryTest } from "./contract/test.ts";
import { missingServers, mustHaveServers } from "./support/required.ts";
import type { Subject } from "./support/subject.ts";

/** 1,000 changes in a registry that writes each to disk take some seconds. */
const limitMs = 120_000;

/** All tests that this subject's facts allow. */
export function registryTests(subject: Subject): readonly RegistryTest[] {
  return [...sourceTests(subject.facts), ...outageTests(), ...registrationTests(subject.facts)];
}

/**
 * Declares the tests. Where a server is missing, the suite's name says so and its tests count as skipped, or fail
 * when EVENKEEL_REQUIRE_SERVERS is 1.
 */
export function registryContract(subject: Subject): void {
  const missing = missingServers(subject.needs);
  if (missing.length === 0) {
    describe(subject.name, () => {
      // Side by side, as they mostly wait, and each has a server of its own.
      for (const { name, run } of registryTests(subject)) it.concurrent(name, () => run(subject), limitMs);
    });
  } else {
    describe(`${subject.name} (there is no ${missing.join(" and no ")}: run scripts/servers)`, () => {
      for (const { name } of registryTests(subject)) {
        if (mustHaveServers) it(name, () => Promise.reject(new Error(`missing: ${missing.join(", ")}`)));
        else it.skip(name, () => {});
      }
    });
  }
}
