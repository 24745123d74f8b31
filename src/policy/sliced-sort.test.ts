/** The sort in slices equals a plain sort, whatever the slices. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { SlicedSort } from "./sliced-sort.ts";

const hash = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1));

test("orders hashes, and equal ones by the comparison given", () => {
  fc.assert(
    fc.property(
      fc.array(hash, { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 1, max: 500 }),
      (list, slice) => {
        const hashes = Uint32Array.from(list);
        const sort = new SlicedSort(hashes, (left, right) => left > right);
        while (sort.advance(slice) === slice);
        const expected = [...hashes.keys()].sort((left, right) => {
          return (hashes[left] as number) - (hashes[right] as number) || right - left;
        });
        expect([...sort.order]).toEqual(expected);
        for (const [spot, place] of sort.order.entries()) {
          const bucket = (hashes[place] as number) >>> sort.shift;
          expect(spot).toBeGreaterThanOrEqual(sort.starts[bucket] as number);
          expect(spot).toBeLessThan(sort.starts[bucket + 1] as number);
        }
      },
    ),
    { seed: 1 },
  );
});

test("takes no more steps at a time than it is given", () => {
  const sort = new SlicedSort(Uint32Array.of(3, 2, 1), () => false);
  const taken = Array.from({ length: 20 }, () => sort.advance(2));
  expect(Math.max(...taken)).toBe(2);
  expect(taken.at(-1)).toBe(0);
});
