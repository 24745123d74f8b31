/** What a registry has to do for those who announce themselves with it. */
import type { SubjectFacts } from "../support/subject.ts";
import { assert, instance, instances, type RegistryTest, registryTest } from "./test.ts";

const recoveryLimitMs = 40_000;
/** Until a lease or a heartbeat has run out, which takes out an instance whose process has died. */
const leaseLimitMs = 100_000;

export function registrationTests({ takesRegistrations }: SubjectFacts): RegistryTest[] {
  if (!takesRegistrations) return [];
  return [
    registryTest(
      "announces an instance beside those of others, and takes it out",
      async ({ subject, watch, announce }) => {
        await subject.put(instances(2));
        const set = watch();
        const own = announce(instance(2));
        await own.registered;
        await set.untilExactly(instances(3));
        await own[Symbol.asyncDispose]();
        await set.untilExactly(instances(2));
      },
    ),
    registryTest("lets an old process go without its successor", async ({ subject, watch, announce }) => {
      const set = watch();
      const old = announce(instance(0), "old");
      await old.registered;
      await set.untilExactly([instance(0)]);
      const successor = announce(instance(0), "new");
      await successor.registered;
      const { length: before } = set.snapshots;
      await old[Symbol.asyncDispose]();
      await subject.put([instance(1)]);
      await set.untilExactly(instances(2));
      const own = set.describe([instance(0)]);
      const isGone = set.snapshots.slice(before).some((each) => !each.includes(own));
      assert(!isGone, `the successor was gone in between: ${set.snapshots.join(" | ")}`);
      await successor[Symbol.asyncDispose]();
      await set.untilExactly([instance(1)]);
    }),
    registryTest("keeps an instance announced while the server dies and comes back", async (scene) => {
      const { subject, watch, announce } = scene;
      const own = announce(instance(0));
      await own.registered;
      await watch().untilExactly([instance(0)]);
      await subject.kill();
      await own.untilError();
      await subject.restart();
      const set = watch();
      await set.untilExactly([instance(0)], recoveryLimitMs);
      await own[Symbol.asyncDispose]();
      await set.untilExactly([]);
    }),
    registryTest("announces again what a wiped server lost, and can still take it out", async (scene) => {
      const { subject, watch, announce } = scene;
      const own = announce(instance(0));
      await own.registered;
      await watch().untilExactly([instance(0)]);
      await subject.wipe();
      const set = watch();
      await set.untilExactly([instance(0)], recoveryLimitMs);
      await own[Symbol.asyncDispose]();
      await set.untilExactly([]);
    }),
    registryTest("announces itself as soon as there is a server", async ({ subject, watch, announce }) => {
      await subject.kill();
      const own = announce(instance(0));
      await own.untilError();
      await subject.restart();
      await own.registered;
      const set = watch();
      await set.untilExactly([instance(0)]);
      await own[Symbol.asyncDispose]();
      await set.untilExactly([]);
    }),
    registryTest("leaves it to the registry to forget what was given up", async ({ watch, announce }) => {
      const giveUp = new AbortController();
      await announce(instance(0), "first", giveUp.signal).registered;
      const set = watch();
      await set.untilExactly([instance(0)]);
      // As if the process had been killed.
      giveUp.abort();
      await set.untilExactly([], leaseLimitMs);
    }),
  ];
}
