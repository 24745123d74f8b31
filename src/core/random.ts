/** Chance as an argument: whatever draws a random number is handed a `Random`, so that tests can seed it. */

/** A source of uniform numbers in [0, 1), like `Math.random`. */
export type Random = () => number;

/**
 * A `Random` that gives the same sequence for the same seed, for tests and simulations; seeded by chance, it
 * is what policies draw from, since each number of `Math.random` costs an allocation. Never for secrets. The generator is Mulberry32 (32 bits of state, period 2^32).
 */
export function createSeededRandom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
