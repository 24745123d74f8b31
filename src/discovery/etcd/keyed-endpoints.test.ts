/** Tests of the set by key: what counts as a change, and what is said about values that are none. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyedEndpoints } from "./keyed-endpoints.ts";
import type { KeyEvent, KeyValue } from "./messages.ts";

function createSet(): KeyedEndpoints {
  return new KeyedEndpoints(({ value }) => {
    if (value.startsWith("bad")) throw new Error("it is bad");
    return value === "other" ? undefined : { address: value };
  });
}

function kv(key: string, value: string): KeyValue {
  return { key: Buffer.from(key), value: Buffer.from(value), modRevision: "1", lease: "0" };
}

const put = (key: string, value: string): KeyEvent => ({ type: "PUT", kv: kv(key, value) });
const remove = (key: string): KeyEvent => ({ type: "DELETE", kv: kv(key, "") });
const addresses = (set: KeyedEndpoints): readonly string[] => set.endpoints.map(({ address }) => address);
const isSame = { isChange: false, errors: [] };
const isOther = { isChange: true, errors: [] };

describe("KeyedEndpoints", () => {
  it("replaces all by a list, and says whether that changed anything", () => {
    const set = createSet();
    expect(set.replace([kv("a", "1"), kv("b", "2")])).toEqual(isOther);
    expect(set.replace([kv("a", "1"), kv("b", "2")])).toEqual(isSame);
    expect(set.replace([kv("a", "1"), kv("c", "2")])).toEqual(isOther);
    expect(set.replace([kv("a", "1")])).toEqual(isOther);
    expect(addresses(set)).toEqual(["1"]);
  });

  it("applies events in their order", () => {
    const set = createSet();
    set.replace([kv("a", "1")]);
    expect(set.apply([put("b", "2"), remove("a"), put("b", "3")])).toEqual(isOther);
    expect(addresses(set)).toEqual(["3"]);
  });

  it("sees no change in a value that is written again, nor in the end of what was not there", () => {
    const set = createSet();
    set.replace([kv("a", "1")]);
    expect(set.apply([put("a", "1"), remove("b")])).toEqual(isSame);
  });

  it("names a bad value once, leaves it out, and takes it when it is mended", () => {
    const set = createSet();
    const { errors } = set.replace([kv("a", "1"), kv("b", "bad"), kv("c", "3")]);
    expect(errors.map(({ message }) => message)).toEqual([
      'the value of etcd\'s key "b" is no endpoint: it is bad',
    ]);
    expect(addresses(set)).toEqual(["1", "3"]);
    expect(set.replace([kv("a", "1"), kv("b", "bad"), kv("c", "3")])).toEqual(isSame);
    expect(set.apply([put("b", "bad, too")]).errors).toHaveLength(1);
    expect(set.apply([put("b", "2")])).toEqual(isOther);
    expect([...addresses(set)].sort()).toEqual(["1", "2", "3"]);
  });

  it("leaves out in silence what is of no concern", () => {
    const set = createSet();
    expect(set.replace([kv("a", "other")])).toEqual(isOther);
    expect(set.endpoints).toEqual([]);
  });

  it("refuses a value that is far too long", () => {
    expect(createSet().replace([kv("a", "x".repeat(70_000))]).errors).toHaveLength(1);
  });

  it("names the first hundred bad ones and counts the rest", () => {
    const { errors } = createSet().replace(Array.from({ length: 250 }, (_, index) => kv(`k${index}`, "bad")));
    expect(errors).toHaveLength(101);
    expect(errors.at(-1)?.message).toContain("150 more");
  });

  it("is the same by events as by a list, and hands out sets that do not change", () => {
    const change = fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("1", "2", "bad", "other", ""));
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 5 }), { maxLength: 8 }), (rounds) => {
        const set = createSet();
        const store = new Map<string, string>();
        for (const round of rounds) {
          const before = set.endpoints;
          const copy = [...before];
          const { isChange } = set.apply(
            round.map(([key, value]) => (value === "" ? remove(key) : put(key, value))),
          );
          for (const [key, value] of round) {
            if (value === "") store.delete(key);
            else store.set(key, value);
          }
          const listed = createSet();
          listed.replace([...store].map(([key, value]) => kv(key, value)));
          expect([...addresses(set)].sort()).toEqual([...addresses(listed)].sort());
          expect(before).toEqual(copy);
          if (!isChange) expect([...addresses(set)].sort()).toEqual(copy.map((e) => e.address).sort());
        }
      }),
    );
  });
});
