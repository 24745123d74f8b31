/** What a source has to see while its server runs. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SubjectFacts } from "../support/subject.ts";
import { changesAtOnce } from "./changes.ts";
import { addresses, assert, instance, instances, type RegistryTest, registryTest } from "./test.ts";

export function sourceTests({ hasWeights, hasZones, tellsEmpty, hasTokens }: SubjectFacts): RegistryTest[] {
  const tests = [
    registryTest("begins with the set of the moment", async ({ subject, watch }) => {
      await subject.put(instances(3));
      await watch().untilExactly(instances(3));
    }),
    registryTest("sees instances come and go, each watcher for itself", async ({ subject, watch }) => {
      await subject.put(instances(3));
      const [first, second] = [watch(), watch()];
      await first.untilExactly(instances(3));
      await subject.put([instance(3)]);
      await first.untilExactly(instances(4));
      await second.untilExactly(instances(4));
      await second[Symbol.asyncDispose]();
      await subject.remove(addresses([instance(0)]));
      await first.untilExactly(instances(3, 1));
      await watch().untilExactly(instances(3, 1));
    }),
    registryTest("ends with 1,000 changes as the registry does", async ({ subject, watch }) => {
      await subject.put(instances(1));
      const set = watch();
      await set.untilExactly(instances(1));
      // 400 come, 400 change, 200 go.
      await changesAtOnce(instances(400, 1), (each) => subject.put([each]));
      await changesAtOnce(instances(400, 1), (each) => subject.put([{ ...each, weight: 7, zone: "c" }]));
      await changesAtOnce(instances(200, 1), (each) => subject.remove(addresses([each])));
      const changed = instances(200, 201).map((each) => ({ ...each, weight: 7, zone: "c" }));
      await set.untilExactly([instance(0), ...changed]);
    }),
    registryTest("follows instances that come and go ten times a second", async ({ subject, watch }) => {
      const [staying, flapping] = [instances(3), instances(2, 3)];
      await subject.put([...staying, ...flapping]);
      const set = watch();
      await set.untilExactly(instances(5));
      // The wall clock: it is the pace that this is about.
      for (let flap = 0; flap < 20; flap++) {
        if (flap % 2 === 0) await subject.remove(addresses(flapping));
        else await subject.put(flapping);
        await sleep(100);
      }
      await subject.remove(addresses(flapping));
      await set.untilExactly(staying);
      for (const each of set.snapshots) {
        for (const line of set.describe(staying).split("\n")) {
          assert(each.includes(line), `${line} was always there, but not in the set ${each}`);
        }
      }
    }),
    registryTest(
      "leaves out what is no endpoint, tells of it, and takes the rest",
      async ({ subject, watch }) => {
        await subject.put(instances(2));
        const before = await subject.putBad();
        const set = watch();
        await set.untilExactly(instances(2));
        assert(before === 0 || set.errors.length > 0, `nothing was told of ${before} bad values`);
        const toldBefore = set.errors.length;
        await subject.put([instance(2)]);
        await set.untilExactly(instances(3));
        assert(set.errors.length <= toldBefore + before, `told again and again: ${set.errors.join("; ")}`);
      },
    ),
  ];
  if (hasWeights || hasZones) {
    tests.push(
      registryTest("sees a changed weight and zone", async ({ subject, watch }) => {
        await subject.put(instances(3));
        const set = watch();
        await set.untilExactly(instances(3));
        const changed = instance(1, { weight: 9, zone: "z" });
        await subject.put([changed]);
        await set.untilExactly([instance(0), changed, instance(2)]);
      }),
    );
  }
  tests.push(
    tellsEmpty
      ? registryTest("tells that the last instance went, and that one came", async ({ subject, watch }) => {
          await subject.put(instances(2));
          const set = watch();
          await set.untilExactly(instances(2));
          await subject.remove(addresses(instances(2)));
          await set.untilExactly([]);
          await subject.put([instance(5)]);
          await set.untilExactly([instance(5)]);
          await watch().untilExactly([instance(5)]);
        })
      : registryTest("keeps the set when there is no record any more", async ({ subject, watch }) => {
          await subject.put(instances(2));
          const set = watch();
          await set.untilExactly(instances(2));
          const errors = set.errors.length;
          await subject.remove(addresses(instances(2)));
          await set.untilError(errors);
          assert(set.snapshots.length === 1, `the set became ${set.present}`);
          await subject.put([instance(5)]);
          await set.untilExactly([instance(5)]);
        }),
    registryTest("begins with nothing, and sees what comes", async ({ subject, watch }) => {
      const set = watch();
      if (tellsEmpty) await set.untilExactly([]);
      await subject.put([instance(0)]);
      await set.untilExactly([instance(0)]);
    }),
  );
  if (hasTokens) {
    tests.push(
      registryTest("goes on when its token has expired", async ({ subject, watch }) => {
        await subject.put(instances(2));
        const client = subject.source();
        const set = watch(client);
        await set.untilExactly(instances(2));
        for (let round = 0; round < 2; round++) {
          await subject.expireToken?.();
          await subject.put([instance(2 + round)]);
          await set.untilExactly(instances(3 + round), 45_000);
          // What the same client asks for anew is refused with the old token.
          await watch(client).untilExactly(instances(3 + round), 45_000);
        }
        assert(!set.snapshots.includes(""), "the set was empty in between");
      }),
    );
  }
  return tests;
}
