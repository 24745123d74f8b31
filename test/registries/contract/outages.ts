/** What a source has to do while its server is dead, and once it is back. */
import { setTimeout as sleep } from "node:timers/promises";
import { addresses, assert, instance, instances, type RegistryTest, registryTest } from "./test.ts";

/** Long enough for several attempts to connect. The end-to-end tests have an outage of 30 s. */
const deadMs = 4_000;
/** A client that has failed for a while may wait up to 30 s before it tries again. */
const recoveryLimitMs = 40_000;

export function outageTests(): RegistryTest[] {
  return [
    registryTest(
      "keeps its set while the server is dead, and tells of it",
      async ({ subject, watch, patience }) => {
        await subject.put(instances(4));
        const set = watch();
        await set.untilExactly(instances(4));
        const { length: errors } = set.errors;
        const { length: sets } = set.snapshots;
        await subject.kill();
        await set.untilError(errors);
        // The wall clock: nothing may happen, and that has no event to wait for.
        await sleep(patience * deadMs);
        assert(set.snapshots.length === sets, `the set became ${set.present} while the server was dead`);
        await subject.restart();
        await subject.put([instance(4)]);
        await set.untilExactly(instances(5), recoveryLimitMs);
        await subject.remove(addresses([instance(0)]));
        await set.untilExactly(instances(4, 1), recoveryLimitMs);
      },
    ),
    registryTest(
      "says its set again when a dead server is back, though nothing changed",
      async ({ subject, watch }) => {
        await subject.put(instances(2));
        const set = watch();
        await set.untilExactly(instances(2));
        const { length: errors } = set.errors;
        await subject.kill();
        await set.untilError(errors);
        const { updates } = set;
        await subject.restart();
        await set.untilUpdate(updates, recoveryLimitMs);
        await set.untilExactly(instances(2), recoveryLimitMs);
      },
    ),
    registryTest("sees what changed after the server lost everything", async ({ subject, watch }) => {
      // Many changes first, so that the new store counts from far below the old one.
      await subject.put(instances(5));
      const set = watch();
      await set.untilExactly(instances(5));
      for (let round = 0; round < 5; round++) {
        await subject.remove(addresses([instance(4)]));
        await subject.put([instance(4)]);
      }
      await subject.wipe();
      await subject.put(instances(2, 10));
      await set.untilExactly(instances(2, 10), recoveryLimitMs);
      await subject.put([instance(12)]);
      await set.untilExactly(instances(3, 10), recoveryLimitMs);
    }),
    registryTest("waits for a server that is not there yet", async ({ subject, watch }) => {
      await subject.put(instances(2));
      await subject.kill();
      const set = watch();
      await set.untilError(0);
      assert(set.present === undefined, `there is no server, but a set: ${set.present}`);
      await subject.restart();
      await set.untilExactly(instances(2), recoveryLimitMs);
    }),
    registryTest("ends when it is told to while the server is dead", async ({ subject, watch }) => {
      await subject.put(instances(2));
      const set = watch();
      await set.untilExactly(instances(2));
      await subject.kill();
      await set.untilError(0);
      await set[Symbol.asyncDispose]();
    }),
  ];
}
