/** The hash gives the published values, and spreads what addresses and keys have in common. */
import { describe, expect, test } from "vitest";
import { hashString, mix } from "./hash.ts";

describe("hashString", () => {
  // Values of MurmurHash3_x86_32 for the bytes 21 43 65 87 and so on, as computed by the reference code.
  test.each([
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["", 0xffffffff, 0x81f16f39],
    ["\uffff\uffff", 0, 0x76293b50],
    ["\u4321\u8765", 0, 0xf55b516b],
    ["\u4321\u8765", 0x5082edee, 0x2362f9de],
    ["\u4321", 0, 0xa0f7b07a],
    ["\0\0", 0, 0x2362f9de],
    ["\0", 0, 0x30f4c306],
  ])("of %j with seed %i is MurmurHash3's", (text, seed, expected) => {
    expect(hashString(text, seed) >>> 0).toBe(expected);
  });

  test("is a signed integer of 32 bits", () => {
    for (let index = 0; index < 1_000; index++) {
      const hash = hashString(`key-${index}`);
      expect(hash | 0).toBe(hash);
    }
  });

  test("spreads numbered addresses over all values, for either seed", () => {
    for (const seed of [0, 1]) {
      const counts = new Array<number>(64).fill(0);
      for (let port = 0; port < 64_000; port++) {
        const bucket = hashString(`http://10.0.0.1:${port}`, seed) >>> 26;
        counts[bucket] = (counts[bucket] as number) + 1;
      }
      // 1,000 each, with a standard deviation of 31.4; five of them for 64 buckets.
      for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(157);
    }
  });
});

test("mix is MurmurHash3's finalizer", () => {
  // fmix32(0) is 0, and the hash of the empty string with seed 1 is fmix32(1).
  expect(mix(0)).toBe(0);
  expect(mix(1) >>> 0).toBe(0x514e28b7);
});
