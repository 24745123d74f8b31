/** What ring hash and Maglev have in common: keys, bounded loads, second choices, warm-up, and sets that change. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CallInfo, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { success } from "../core/outcome.ts";
import { createSeededRandom } from "../core/random.ts";
import { assertSpread, createCall, createNodes, equalWeights } from "../testing/policy-contract.ts";
import type { HashOptions } from "./hash-key.ts";
import { maglev } from "./maglev.ts";
import { ringHash } from "./ring-hash.ts";
import { isExplainable } from "./shares.ts";
import type { Schedule } from "./table-keeper.ts";

type Options = HashOptions & { readonly schedule?: Schedule };
const random = createSeededRandom(1);
const policies: readonly [name: string, create: (options?: Options) => Policy][] = [
  ["ringHash", (options) => ringHash({ ...options, random })],
  ["maglev", (options) => maglev({ tableSize: 5_003, ...options, random })],
];

function call(options: Partial<CallInfo> = {}): CallInfo {
  return { method: "GET", path: "/", header: () => undefined, tried: [], ...options };
}

describe.each(policies)("%s", (name, create) => {
  const nodes = createNodes(equalWeights(20));

  describe("the key", () => {
    const byKey = create().build(nodes);
    const ofKey = (hashKey: string) => byKey.pick(call({ hashKey }));

    test("is what the function makes of the call", () => {
      const picker = create({ key: ({ path }) => path }).build(nodes);
      for (const path of ["/a", "/b", "/c"]) expect(picker.pick(call({ path }))).toBe(ofKey(path));
    });

    test("is the value of the header, in whatever case it is named", () => {
      const picker = create({ key: { header: "X-User" } }).build(nodes);
      for (const user of ["ann", "bob", "eve", ""]) {
        const header = (asked: string) => (asked === "x-user" ? user : undefined);
        expect(picker.pick(call({ header }))).toBe(ofKey(user));
      }
    });

    test("of the call itself comes first", () => {
      const picker = create({ key: () => "other" }).build(nodes);
      for (const hashKey of ["a", "b", "c"]) expect(picker.pick(call({ hashKey }))).toBe(ofKey(hashKey));
    });

    test("when there is none, leaves the node to chance, by weight", () => {
      const weights = [4, ...equalWeights(9)];
      const weighted = createNodes(weights);
      const picker = create({ key: () => undefined }).build(weighted);
      const counts = new Array<number>(10).fill(0);
      for (let picks = 0; picks < 5_000; picks++) {
        const index = weighted.indexOf(picker.pick(call()) as Node);
        counts[index] = (counts[index] as number) + 1;
      }
      assertSpread(counts, weights, "calls without a key");
    });

    test("is refused when it is neither a function nor a header", () => {
      for (const key of ["x-user", {}, { header: "" }, { header: "a", cookie: "b" }, null, 1]) {
        expect(() => create({ key: key as never })).toThrow(`${name}.key must be a function or { header`);
      }
    });
  });

  describe("bounded loads", () => {
    test("no node ever has more than the factor above its share, rounded up, whatever the keys", () => {
      const step = fc.record({ key: fc.nat(3), end: fc.boolean(), which: fc.nat() });
      const weights = fc.array(fc.constantFrom(1, 1, 2, 5), { minLength: 1, maxLength: 8 });
      fc.assert(
        fc.property(
          weights,
          fc.array(step, { maxLength: 150 }),
          fc.constantFrom(1, 1.25, 2),
          (list, steps, factor) => {
            const set = createNodes(list);
            const whole = list.reduce((sum, weight) => sum + weight, 0);
            const picker = create({ boundFactor: factor }).build(set);
            const busy: Node[] = [];
            for (const { key, end, which } of steps) {
              if (end && busy.length > 0) busy.splice(which % busy.length, 1)[0]?.end(success, 0);
              const node = picker.pick(call({ hashKey: `key-${key}` })) as Node;
              node.begin();
              busy.push(node);
              const most = Math.ceil((factor * busy.length * node.weight) / whole - 1e-9);
              expect(node.inflight).toBeLessThanOrEqual(most);
            }
          },
        ),
        { seed: 4, numRuns: 60 },
      );
    });

    test("a key comes back to its node when that has room again", () => {
      const picker = create().build(nodes);
      const first = picker.pick(call({ hashKey: "a" })) as Node;
      first.begin();
      const second = picker.pick(call({ hashKey: "a" }));
      expect(second).not.toBe(first);
      expect(picker.pick(call({ hashKey: "a" }))).toBe(second);
      first.end(success, 0);
      expect(picker.pick(call({ hashKey: "a" }))).toBe(first);
    });

    test("false keeps a key at its node", () => {
      const picker = create({ boundFactor: false }).build(nodes);
      const first = picker.pick(call({ hashKey: "a" })) as Node;
      for (let begun = 0; begun < 100; begun++) first.begin();
      expect(picker.pick(call({ hashKey: "a" }))).toBe(first);
      for (let begun = 0; begun < 100; begun++) first.end(success, 0);
    });

    test("count the calls of a large set from the last round of picks", () => {
      const many = createNodes(equalWeights(1_000));
      const picker = create().build(many);
      const first = picker.pick(call({ hashKey: "a" })) as Node;
      for (const node of many) for (let begun = 0; begun < 10; begun++) node.begin();
      // Each pick reads eight nodes; the share of 10 gives a bound of 13.
      for (let picks = 0; picks < 125; picks++) picker.pick(call({ hashKey: "b" }));
      for (let begun = 10; begun < 13; begun++) {
        expect(picker.pick(call({ hashKey: "a" }))).toBe(first);
        first.begin();
      }
      expect(picker.pick(call({ hashKey: "a" }))).not.toBe(first);
    });

    test("a factor below 1 is refused", () => {
      expect(() => create({ boundFactor: 0.9 })).toThrow(RangeError);
      expect(() => create({ boundFactor: "1" as never })).toThrow(TypeError);
    });
  });

  test("the second choice of a key is always the same, and spread over the others", () => {
    const picker = create().build(nodes);
    const seconds = new Set<Node | undefined>();
    for (let index = 0; index < 500; index++) {
      const hashKey = `key-${index}`;
      const first = picker.pick(call({ hashKey })) as Node;
      if (first !== nodes[0]) continue;
      const second = picker.pick(call({ hashKey, tried: [first] }));
      expect(second).not.toBe(first);
      expect(picker.pick(call({ hashKey, tried: [first] }))).toBe(second);
      seconds.add(second);
    }
    expect(seconds.size).toBeGreaterThan(5);
  });

  test("a node that warms up takes over its keys one by one, and gives none back", () => {
    const set = createNodes(equalWeights(5));
    const [warming] = set as [Node, ...Node[]];
    const picker = create().build(set);
    const keysOf = () => {
      const keys = new Set<number>();
      for (let key = 0; key < 2_000; key++) if (picker.pick(createCall(key)) === warming) keys.add(key);
      return keys;
    };
    const all = keysOf();
    let before = new Set<number>();
    for (const weight of [0.1, 0.3, 0.7, 1]) {
      warming.weight = weight;
      const keys = keysOf();
      expect(before.isSubsetOf(keys)).toBe(true);
      // Binomial of about 400: five standard deviations are 0.125.
      expect(Math.abs(keys.size / all.size - weight)).toBeLessThan(0.125);
      before = keys;
    }
    expect(before).toEqual(all);
  });

  describe("until the table of a large set is made", () => {
    const large = createNodes(equalWeights(3_000));

    /** Slices run when told. */
    function manual() {
      const queue: (() => void)[] = [];
      const policy = name === "ringHash" ? ringHash : maglev;
      const created = policy({
        ...(name === "maglev" ? { tableSize: 655_373 } : {}),
        schedule: (run: () => void) => queue.push(run),
      });
      const runAll = () => {
        while (queue.length > 0) queue.shift()?.();
      };
      return { policy: created, queue, runAll };
    }

    test("the first picks agree among clients, and know no other order", () => {
      const one = manual().policy.build(large);
      const other = manual().policy.build(large.toReversed());
      const picked = new Set<Node | undefined>();
      for (let key = 0; key < 30; key++) {
        const node = one.pick(createCall(key));
        expect(other.pick(createCall(key))).toBe(node);
        picked.add(node);
      }
      expect(picked.size).toBeGreaterThan(25);
    });

    test("it is made whatever the weights have become meanwhile", () => {
      for (const weight of [0, 1e-310, 4e9]) {
        const { policy, runAll } = manual();
        const nodes = createNodes(equalWeights(3_000).map(() => weight));
        const picker = policy.build(nodes);
        picker.pick(createCall());
        runAll();
        expect(nodes).toContain(picker.pick(createCall()));
      }
    });

    test("the one before stands in, without nodes that are gone; then the new ones count", () => {
      const { policy, queue, runAll } = manual();
      const present = large.slice(0, 2_990);
      const first = policy.build(present);
      first.pick(createCall());
      runAll();
      const before = Array.from({ length: 300 }, (_, key) => first.pick(createCall(key)) as Node);
      const gone = new Set(before.slice(0, 5));
      const set = large.filter((node) => !gone.has(node));
      const second = policy.build(set, first);
      expect(queue.length).toBe(0);
      for (const [key, owner] of before.entries()) {
        const node = second.pick(createCall(key)) as Node;
        expect(gone.has(node)).toBe(false);
        if (!gone.has(owner)) expect(node).toBe(owner);
      }
      runAll();
      const moved = before.filter((owner, key) => !gone.has(owner) && second.pick(createCall(key)) !== owner);
      expect(moved.length).toBeLessThan(30);
      const fresh = manual();
      const other = fresh.policy.build(set);
      other.pick(createCall());
      fresh.runAll();
      for (let key = 0; key < 300; key++)
        expect(second.pick(createCall(key))).toBe(other.pick(createCall(key)));
      // The old picker still keeps to its own set.
      for (let key = 0; key < 300; key++) expect(present).toContain(first.pick(createCall(key)));
    });
  });

  test("shares give the key's node 1, and without a key each node its part", () => {
    const set = createNodes([1, 3]);
    const picker = create().build(set);
    if (!isExplainable(picker)) throw new Error("hashing explains itself");
    const owner = picker.pick(createCall(1)) as Node;
    expect(picker.shares(createCall(1)).get(owner)).toBe(1);
    expect([...picker.shares(call()).values()]).toEqual([0.25, 0.75]);
    expect([...picker.shares(call({ tried: set })).values()]).toEqual([0, 0]);
  });
});

test("sizes out of range are refused", () => {
  expect(() => maglev({ tableSize: 65_536 })).toThrow("maglev.tableSize must be a prime, got 65536");
  expect(() => ringHash({ minRingSize: 7 })).toThrow(RangeError);
  expect(() => ringHash({ minRingSize: 100, maxRingSize: 50 })).toThrow("must not be above maxRingSize");
  expect(() => ringHash({ ringSize: 9 } as never)).toThrow("unknown option");
});
