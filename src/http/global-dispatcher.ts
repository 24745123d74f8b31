/**
 * Makes a dispatcher the process-wide one, and undoes that exactly.
 *
 * There are two places: undici 8 and the built-in fetch of Node 26 read the second, undici 6 and 7 and the built-in
 * fetch of Node 22 and 24 the first, which takes handlers of the former interface (undici.md). Others may set one,
 * both or none of them in between, so each place is undone by itself.
 */
import { type Dispatcher, setGlobalDispatcher } from "undici";

const places = [Symbol.for("undici.globalDispatcher.1"), Symbol.for("undici.globalDispatcher.2")] as const;

interface Install {
  readonly installed: unknown;
  /** What was there before. */
  readonly previous: unknown;
  undone: boolean;
}

/** What this module has put into each place and not taken out again, the latest last. */
const stacks: ReadonlyMap<symbol, Install[]> = new Map(places.map((place) => [place, []]));
const globals = globalThis as unknown as Record<symbol, unknown>;

/**
 * @returns what undoes it. It puts back what was there, as soon as what it installed is what is there: a later
 *   install, whoever made it, stays until it is undone itself, and then both are. Calling it again does nothing.
 */
export function installGlobally(dispatcher: Dispatcher): () => void {
  const before = places.map((place) => globals[place]);
  setGlobalDispatcher(dispatcher);
  const installs = places.map((place, index) => {
    const install: Install = { installed: globals[place], previous: before[index], undone: false };
    stacks.get(place)?.push(install);
    return install;
  });
  return () => {
    for (const install of installs) install.undone = true;
    for (const place of places) unwind(place, stacks.get(place) ?? []);
  };
}

/** Takes out, from the top, what was undone and is still there. */
function unwind(place: symbol, stack: Install[]): void {
  for (let top = stack.at(-1); top?.undone === true && globals[place] === top.installed; top = stack.at(-1)) {
    globals[place] = top.previous;
    stack.pop();
  }
}
