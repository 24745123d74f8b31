/** The `random` option of policies, and what they draw from without it. */
import type { OptionReader } from "../core/option-reader.ts";
import { createSeededRandom, type Random } from "../core/random.ts";

/**
 * Reads the option `random`. The default is a generator of our own with a seed by chance: V8 compiles it into the
 * pick, while each number of `Math.random` is an object of 16 bytes on the heap (measured with bench/picks.ts).
 */
export function readRandom(reader: OptionReader): Random {
  return reader.function<Random>("random") ?? createSeededRandom(Math.random() * 2 ** 32);
}
