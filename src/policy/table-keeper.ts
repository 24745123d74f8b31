/**
 * Keeps one cluster's hash table up to its set of nodes, without ever keeping the event loop for long.
 *
 * - Nothing is made before a call has a key.
 * - A small table is made by the first pick that needs it: calls of one key never see two mappings of one set.
 * - A large one is made in slices, between which the loop goes on. Until it is ready the table before stands in for
 *   it, without the nodes that are gone; before the very first there is none.
 * - A set that comes while a table is being made waits until that is ready, and takes the place of one that waits
 *   already. So each build ends, however often the set changes, and no more than one is under way. (Starting anew
 *   with each change would never end in a set that flaps, and the table that stands in would get ever older.)
 * - A set that goes back to what the table is for ends the build: a node that flaps faster than tables are made gets
 *   keys by the table before, or none.
 * - Slices of a rebuild have a pause between them: not even endless change takes more than a part of one core.
 */
import type { Node } from "../core/node.ts";
import { type HashTable, isTableOf, type TableBuild, type TableMaker } from "./hash-table.ts";

/** Runs a function later: at once after input and output were served for 0, else after so many milliseconds. */
export type Schedule = (run: () => void, delayMs: number) => void;

/** The steps of one slice: half a millisecond to one, at some 10 ns a step. */
const sliceSteps = 65_536;
/** A changed table of up to so many steps is made by the pick that needs it: 2 to 4 ms, a ring of some 600 nodes. */
const atOnceSteps = 6 * sliceSteps;
/** The very first may take twice as long, as there is nothing to stand in for it. */
const firstAtOnceSteps = 2 * atOnceSteps;
/** Between the slices of a rebuild. With slices of up to 1 ms that is at most a fifth of one core. */
const pauseMs = 4;

/** Does not keep the process alive. */
export const scheduleSoon: Schedule = (run, delayMs) => {
  if (delayMs === 0) setImmediate(run).unref();
  else setTimeout(run, delayMs).unref();
};

export class TableKeeper {
  /** The newest table that is complete. */
  table: HashTable | undefined;
  /** Whether a pick should `begin()`: the set is another one than at the pick before. */
  hasNews = false;
  readonly #tables: TableMaker;
  readonly #schedule: Schedule;
  #build: TableBuild | undefined;
  /** The newest set, if neither the table nor the build is for it. */
  #waiting: readonly Node[] | undefined;
  #isScheduled = false;

  constructor(tables: TableMaker, schedule: Schedule) {
    this.#tables = tables;
    this.#schedule = schedule;
  }

  /** From now on a table for these nodes is wanted. Returns them as an array that a table for them is known by. */
  want(nodes: readonly Node[]): readonly Node[] {
    if (this.table !== undefined && isTableOf(this.table, nodes)) {
      this.#build = undefined;
      this.#waiting = undefined;
      this.hasNews = false;
      return this.table.nodes;
    }
    this.#waiting = nodes;
    this.hasNews = true;
    return nodes;
  }

  /** The first pick of a key from the newest set: makes its table now if it is small, and else starts making it. */
  begin(): void {
    this.hasNews = false;
    const nodes = this.#waiting;
    if (nodes === undefined) return;
    const limit = this.table === undefined ? firstAtOnceSteps : atOnceSteps;
    if (this.#tables.steps(nodes.length) <= limit) {
      this.#build = this.#tables.start(nodes);
      this.#waiting = undefined;
      while (this.#build !== undefined) this.#advance(this.#build);
    } else {
      this.#scheduleSlice();
    }
  }

  #scheduleSlice(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#schedule(this.#runSlice, this.table === undefined ? 0 : pauseMs);
  }

  readonly #runSlice = (): void => {
    this.#isScheduled = false;
    if (this.#build === undefined && this.#waiting !== undefined) {
      this.#build = this.#tables.start(this.#waiting);
      this.#waiting = undefined;
    }
    if (this.#build !== undefined) this.#advance(this.#build);
    if (this.#build !== undefined || this.#waiting !== undefined) this.#scheduleSlice();
  };

  #advance(build: TableBuild): void {
    const table = build.advance(sliceSteps);
    if (table === undefined) return;
    // Picks read the table anew each time: nobody holds the old one.
    if (this.table !== undefined) this.#tables.recycle?.(this.table);
    this.table = table;
    this.#build = undefined;
  }
}
