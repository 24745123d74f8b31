/** Declares one test of one subject, and says in its name what it would need and is not there. */
import { it } from "vitest";
import { missingServers, mustHaveServers } from "./required.ts";
import type { Subject } from "./subject.ts";

/** Where a server is missing it counts as skipped, or fails when EVENKEEL_REQUIRE_SERVERS is 1. */
export function testSubject(
  subject: Subject,
  run: (subject: Subject) => Promise<void>,
  { limitMs, together = false }: { readonly limitMs: number; readonly together?: boolean },
): void {
  const missing = missingServers(subject.needs);
  if (missing.length === 0) {
    const declare = together ? it.concurrent : it;
    declare(subject.name, () => run(subject), limitMs);
    return;
  }
  const what = `there is no ${missing.join(" and no ")}: run scripts/servers`;
  if (mustHaveServers) it(`${subject.name} (${what})`, () => Promise.reject(new Error(what)));
  else it.skip(`${subject.name} (${what})`, () => {});
}
