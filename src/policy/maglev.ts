/**
 * Maglev: calls of one key go to one node, with keys spread as evenly as the table allows.
 *
 * For caches and sessions that live in the nodes. A node more or less moves its own keys and a few others, where
 * `ringHash()` moves no others but is less even.
 */
import type { Policy } from "../core/contracts.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { type HashOptions, readBoundFactor, readKey } from "./hash-key.ts";
import { hashPolicy } from "./hash-picker.ts";
import { maglevMaker } from "./maglev-table.ts";
import { type Schedule, scheduleSoon } from "./table-keeper.ts";

export interface MaglevOptions extends HashOptions {
  /**
   * The places of the table: a prime from 3 to 8,388,593. Default 65,537, as in the paper and in Envoy. A node's
   * share is exact to one place, so a hundred places a node make it exact to 1%: for more than 650 nodes take
   * 655,373 (also the paper's), which needs 2.6 MB and takes ten times as long to fill.
   */
  readonly tableSize?: number | undefined;
  /** The source of chance for calls without a key. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
  /** Runs the next slice of a large table. Default: `setImmediate`, and a timer that keeps nothing alive; for tests. */
  readonly schedule?: Schedule | undefined;
}

/**
 * Takes the node of the call's key in a Maglev table, with bounded loads. Equal sets give equal mappings in all
 * clients, in whatever order the nodes are listed.
 *
 * @throws RangeError for a number out of range or a `tableSize` that is no prime; TypeError for an option that does
 *   not exist or is of the wrong type.
 * @example
 * const carts = new Cluster({ name: "carts", discovery, policy: maglev({ key: (call) => call.path }) });
 */
export function maglev(options: MaglevOptions = {}): Policy {
  const reader = new OptionReader(options, "maglev");
  const key = readKey(reader, "maglev");
  const boundFactor = readBoundFactor(reader);
  const tableSize = reader.number("tableSize", { default: 65_537, min: 3, max: 8_388_593, integer: true });
  const random = readRandom(reader);
  const schedule = reader.function<Schedule>("schedule") ?? scheduleSoon;
  reader.end();
  if (!isPrime(tableSize)) throw new RangeError(`maglev.tableSize must be a prime, got ${tableSize}`);
  return hashPolicy({
    name: "maglev",
    key,
    boundFactor,
    random,
    schedule,
    tables: maglevMaker(tableSize),
  });
}

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false;
  return true;
}
