/** Declares tests over each etcd that is there, the current one and Debian's. */
import { describe, it } from "vitest";
import { missingServers, mustHaveServers } from "./required.ts";
import { findServer } from "./servers.ts";

/** By the names of `findServer`. */
export type EtcdBinary = "etcd" | "etcd-debian";

const bothBinaries: readonly EtcdBinary[] = ["etcd", "etcd-debian"];

/**
 * Declares a suite for each of `binaries`. Where something is missing the suite's name says so and it counts as
 * skipped, or fails when EVENKEEL_REQUIRE_SERVERS is 1.
 *
 * @param needs further programs, by the names of `findServer`.
 */
export function describeEtcd(
  name: string,
  body: (binary: string) => void,
  {
    binaries = bothBinaries,
    needs = [],
  }: { binaries?: readonly EtcdBinary[]; needs?: readonly string[] } = {},
): void {
  for (const each of binaries) {
    const missing = missingServers([each, ...needs]);
    if (missing.length === 0) {
      describe(`${name} (${each})`, () => body(findServer(each) as string));
      continue;
    }
    describe(`${name} (${each}; there is no ${missing.join(" and no ")}: run scripts/servers)`, () => {
      if (mustHaveServers) it("runs", () => Promise.reject(new Error(`missing: ${missing.join(", ")}`)));
      else it.skip("runs", () => {});
    });
  }
}
