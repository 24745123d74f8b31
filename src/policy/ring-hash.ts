/**
 * Ring hash: calls of one key go to one node, and a node more or less moves no keys but its own.
 *
 * For caches and sessions that live in the nodes. `maglev()` spreads keys more evenly and its table is smaller; this
 * one moves fewer keys when the set changes.
 */
import type { Policy } from "../core/contracts.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { type HashOptions, readBoundFactor, readKey } from "./hash-key.ts";
import { hashPolicy } from "./hash-picker.ts";
import { ringMaker } from "./ring.ts";
import { type Schedule, scheduleSoon } from "./table-keeper.ts";

/** From how many nodes on a ring has `minRingSize` points. */
const nodesOfSmallRing = 8;

export interface RingHashOptions extends HashOptions {
  /**
   * How many points a ring of eight nodes has, and larger ones at least: an integer of at least 8. Each node of the
   * usual weight has an eighth of it, in a set of any size, since otherwise each node that comes or goes would move
   * the keys of all. Default 1,024, as in Envoy: 128 points a node, so that the share of each is within 9% (1 /
   * sqrt(128), one standard deviation) of what its weight asks for.
   */
  readonly minRingSize?: number | undefined;
  /**
   * The most points of a ring, an integer from 8 to 8,388,608, which is the default (as in Envoy): with it 65,536
   * nodes have all their points. Beyond that, the points of all are halved. A point takes 10 to 12 bytes, and 20 while the ring is made.
   */
  readonly maxRingSize?: number | undefined;
  /** The source of chance for calls without a key. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
  /** Runs the next slice of a large table. Default: `setImmediate`, and a timer that keeps nothing alive; for tests. */
  readonly schedule?: Schedule | undefined;
}

/**
 * Takes the node of the call's key on a hash ring, with bounded loads. Equal sets give equal mappings in all
 * clients, in whatever order the nodes are listed.
 *
 * In sets of more than about 1,000 nodes the first table takes a moment (0.1 s for 10,000). Until then keys go by
 * rendezvous hashing, which is as even and as constant, but another mapping; such a pick takes some 20 ns for each node.
 *
 * @throws RangeError for a number out of range; TypeError for an option that does not exist or is of the wrong type.
 * @example
 * const carts = new Cluster({ name: "carts", discovery, policy: ringHash({ key: { header: "x-user" } }) });
 */
export function ringHash(options: RingHashOptions = {}): Policy {
  const reader = new OptionReader(options, "ringHash");
  const key = readKey(reader, "ringHash");
  const boundFactor = readBoundFactor(reader);
  const most = 8_388_608;
  const min = reader.number("minRingSize", { default: 1_024, min: 8, max: most, integer: true });
  const max = reader.number("maxRingSize", { default: most, min: 8, max: most, integer: true });
  const random = readRandom(reader);
  const schedule = reader.function<Schedule>("schedule") ?? scheduleSoon;
  reader.end();
  if (min > max)
    throw new RangeError(`ringHash.minRingSize must not be above maxRingSize, ${max}, got ${min}`);
  const pointsPerNode = Math.ceil(min / nodesOfSmallRing);
  return hashPolicy({
    name: "ringHash",
    key,
    boundFactor,
    random,
    schedule,
    tables: ringMaker(pointsPerNode, max),
  });
}
