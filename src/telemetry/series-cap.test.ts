/** Places go to whoever comes first, come back, and are never more than the limit. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SeriesCap } from "./series-cap.ts";

function createCap(limit: number) {
  const evicted: string[] = [];
  const cap = new SeriesCap<string>(limit, (row) => evicted.push(row));
  return { cap, evicted, claim: (row: string) => cap.claim(() => row) };
}

describe("SeriesCap", () => {
  it("gives places until there are none", () => {
    const { claim, cap } = createCap(2);
    expect(["a", "b", "c"].map(claim)).toEqual(["a", "b", undefined]);
    expect(cap.size).toBe(2);
  });

  it("makes no row that finds no place", () => {
    const { cap } = createCap(0);
    const create = () => {
      throw new Error("not to be called");
    };
    expect(cap.claim(create)).toBeUndefined();
  });

  it("gives a released place to the next", () => {
    const { cap, claim, evicted } = createCap(1);
    claim("a");
    cap.release("a");
    expect(claim("b")).toBe("b");
    expect(evicted).toEqual([]);
  });

  it("leaves a retired row its place until another needs it, the longest retired first", () => {
    const { cap, claim, evicted } = createCap(3);
    for (const row of ["a", "b", "c"]) claim(row);
    cap.retire("b");
    cap.retire("a");
    expect(cap.size).toBe(3);
    expect([claim("d"), claim("e"), claim("f")]).toEqual(["d", "e", undefined]);
    expect(evicted).toEqual(["b", "a"]);
  });

  it("takes no place from a row that came back", () => {
    const { cap, claim, evicted } = createCap(1);
    claim("a");
    cap.retire("a");
    cap.revive("a");
    expect(claim("b")).toBeUndefined();
    expect(evicted).toEqual([]);
  });

  it("knows nothing of rows without a place", () => {
    const { cap, claim } = createCap(1);
    cap.retire("z");
    claim("a");
    expect(claim("b")).toBeUndefined();
  });

  it("never has more rows than its limit, and evicts only what was retired", () => {
    const row = fc.constantFrom("a", "b", "c", "d", "e", "f");
    const step = fc.tuple(fc.constantFrom("claim", "retire", "revive", "release"), row);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        const held = new Set<string>();
        const retired = new Set<string>();
        const cap = new SeriesCap<string>(limit, (gone) => {
          expect(retired.has(gone)).toBe(true);
          held.delete(gone);
          retired.delete(gone);
        });
        for (const [what, name] of steps) {
          if (what === "claim" && !held.has(name)) {
            if (cap.claim(() => name) !== undefined) held.add(name);
          } else if (what === "retire") {
            cap.retire(name);
            if (held.has(name)) retired.add(name);
          } else if (what === "revive") {
            cap.revive(name);
            retired.delete(name);
          } else if (what === "release") {
            cap.release(name);
            held.delete(name);
            retired.delete(name);
          }
          expect(cap.size).toBe(held.size);
          expect(cap.size).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });
});
