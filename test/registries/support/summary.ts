/** Says after a whole test run which registry servers were missing, so that what did not run is not overlooked. */
import { missingServers, mustHaveServers } from "./required.ts";

const servers = ["etcd", "etcd-debian", "consul", "rnacos", "dnsmasq"];

/** Vitest calls what this returns when all tests are done. */
export function setup(): () => void {
  return () => {
    const missing = missingServers(servers);
    if (missing.length === 0) return;
    const result = mustHaveServers ? "their tests failed" : "their tests were skipped";
    console.log(
      `\nRegistry servers missing: ${missing.join(", ")}; ${result}. scripts/servers installs them.`,
    );
  };
}
