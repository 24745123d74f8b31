/** What one service of an agent is made of: the defaults, the options of its own over them, and errors that say which. */
import { type ClusterOptions, isFolder, resolveOptions } from "../cluster/options.ts";
import { show } from "../core/option-reader.ts";
import { Balancer } from "./balancer.ts";

/**
 * The options of a Balancer without `name`, which is the host that they stand under. `discovery` has to be in here
 * or in the agent's `defaults`.
 */
export type ServiceOptions = Partial<Omit<ClusterOptions, "name">>;

type Fields = Readonly<Record<string, unknown>>;
interface Groups {
  readonly [name: string]: Groups;
}

/** The options that are groups of options. All others, discovery and policy among them, are taken whole. */
const groups: Groups = {
  timeouts: {},
  retry: { budget: {} },
  health: { ejection: {} },
  connections: {},
  limits: { adaptive: {} },
  breaker: { rate: {} },
  tls: {},
};

/** @throws TypeError or RangeError whose message begins with the path of the bad option: `services.orders.retry.…`. */
export function createService(host: string, path: string, own: object, defaults: object): Balancer {
  const given = own as Fields;
  if (given.name !== undefined) {
    throw new TypeError(
      `${path}.name must not be given: the service's name is "${host}", where its options stand`,
    );
  }
  const options = { ...merge(defaults as Fields, given, groups), name: host } as unknown as ClusterOptions;
  return naming(path, options, () => new Balancer(options));
}

/** @throws TypeError or RangeError for defaults that no service could have. */
export function checkDefaults(defaults: object): void {
  const given = defaults as Fields;
  if (given.name !== undefined)
    throw new TypeError("defaults.name must not be given: each service has its own");
  const options = {
    ...merge({ discovery: [] }, given, groups),
    name: "defaults",
  } as unknown as ClusterOptions;
  const { snapshot } = naming("defaults", options, () => resolveOptions(options));
  const path = options.snapshot?.path ?? "";
  if (snapshot !== undefined && !isFolder(path)) {
    throw new TypeError(
      `defaults.snapshot.path must end in a slash, as each service has a file of its own, got ${show(path)}`,
    );
  }
}

/** Own fields win, group by group; `undefined` is as good as not given. */
function merge(defaults: Fields, own: Fields, within: Groups): Fields {
  const merged = new Map(Object.entries(defaults));
  for (const [name, value] of Object.entries(own)) {
    const below = merged.get(name);
    const inner = Object.hasOwn(within, name) ? within[name] : undefined;
    if (inner !== undefined && isGroup(value) && isGroup(below)) merged.set(name, merge(below, value, inner));
    else if (value !== undefined || below === undefined) merged.set(name, value);
  }
  // A field of the name "__proto__", as JSON.parse makes it, stays a field and is refused as unknown.
  return Object.fromEntries(merged);
}

function isGroup(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Puts the path in front of the option that an error names, or of the whole message when it names none. */
function naming<T>(path: string, options: object, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const unknown = /^unknown option /.exec(error.message)?.[0] ?? "";
    const rest = error.message.slice(unknown.length);
    const option = /^\w+/.exec(rest)?.[0] ?? "";
    const isOption = unknown !== "" || option === "discovery" || Object.hasOwn(options, option);
    error.message = `${unknown}${path}${isOption ? "." : ": "}${rest}`;
    throw error;
  }
}
