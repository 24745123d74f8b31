/** Reads options: each value checked, each default in one place, each mistake named with its path. */

/** The longest duration that `setTimeout` takes, in milliseconds; a longer one would fire at once. */
export const longestTimerMs: number = 2 ** 31 - 1;

/**
 * Reads the fields of one options object. After the last read, `end()` refuses whatever was not asked for, with
 * a suggestion when a known name is close.
 *
 * @example
 * const timeouts = new OptionReader(options.timeouts, "timeouts");
 * const attemptMs = timeouts.number("attemptMs", { default: 10_000, min: 1 });
 * timeouts.end();
 */
export class OptionReader {
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #known: Set<string> = new Set();
  readonly #show: (value: unknown) => string;

  /**
   * @param display how a value is shown in what is thrown.
   * @throws TypeError when `given` is neither an object nor undefined.
   */
  constructor(given: unknown, path: string, display: (value: unknown) => string = show) {
    this.#show = display;
    if (given !== undefined && (typeof given !== "object" || given === null || Array.isArray(given))) {
      throw new TypeError(`${path || "options"} must be an object, got ${display(given)}`);
    }
    this.#given = (given ?? {}) as Readonly<Record<string, unknown>>;
    this.#path = path;
  }

  /** A field as it is, unchecked. */
  value(name: string): unknown {
    this.#known.add(name);
    return this.#given[name];
  }

  /** A number within [min, max]; `Infinity` is allowed where `max` is. */
  number(name: string, rule: { default: number; min: number; max?: number; integer?: boolean }): number {
    const value = this.value(name);
    if (value === undefined) return rule.default;
    if (typeof value !== "number")
      throw new TypeError(`${this.#at(name)} must be a number, got ${this.#show(value)}`);
    const max = rule.max ?? Number.MAX_SAFE_INTEGER;
    if (!(value >= rule.min && value <= max) || (rule.integer === true && !Number.isInteger(value))) {
      const kind = rule.integer === true ? "an integer" : "a number";
      const range = rule.max === undefined ? `of at least ${rule.min}` : `from ${rule.min} to ${max}`;
      throw new RangeError(`${this.#at(name)} must be ${kind} ${range}, got ${this.#show(value)}`);
    }
    return value;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.value(name);
    if (value === undefined) return fallback;
    if (typeof value !== "boolean")
      throw new TypeError(`${this.#at(name)} must be true or false, got ${this.#show(value)}`);
    return value;
  }

  string(name: string): string | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (typeof value !== "string" || value === "") {
      throw new TypeError(`${this.#at(name)} must be a non-empty string, got ${this.#show(value)}`);
    }
    return value;
  }

  /** One of a few words. */
  word<Word extends string>(name: string, words: readonly Word[], fallback: Word): Word {
    const value = this.value(name);
    if (value === undefined) return fallback;
    const found = words.find((word) => word === value);
    if (found === undefined) {
      throw new RangeError(
        `${this.#at(name)} must be ${words.map((word) => `"${word}"`).join(" or ")}, got ${this.#show(value)}`,
      );
    }
    return found;
  }

  array(name: string, fallback: readonly unknown[]): readonly unknown[] {
    const value = this.value(name);
    if (value === undefined) return fallback;
    if (!Array.isArray(value))
      throw new TypeError(`${this.#at(name)} must be an array, got ${this.#show(value)}`);
    return value;
  }

  /** An object of our own or of the user's that must have the named methods. */
  object<T>(name: string, methods: readonly string[]): T | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    const candidate = value as Readonly<Record<string, unknown>> | null;
    for (const method of methods) {
      if (typeof candidate !== "object" || candidate === null || typeof candidate[method] !== "function") {
        throw new TypeError(`${this.#at(name)} must have a method ${method}(), got ${this.#show(value)}`);
      }
    }
    return value as T;
  }

  function<T>(name: string): T | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (typeof value !== "function")
      throw new TypeError(`${this.#at(name)} must be a function, got ${this.#show(value)}`);
    return value as T;
  }

  /** The options one level down. */
  nested(name: string): OptionReader {
    return new OptionReader(this.value(name), this.#at(name));
  }

  /** The options one level down, where passwords and keys stand: whatever is wrong with one, it is not shown. */
  secrets(name: string): OptionReader {
    return new OptionReader(this.value(name), this.#at(name), hide);
  }

  /** @throws TypeError for any field that was never read. */
  end(): void {
    for (const name of Object.keys(this.#given)) {
      if (this.#known.has(name)) continue;
      const nearest = closest(name, this.#known);
      const suggestion = nearest === undefined ? "" : `; did you mean "${nearest}"?`;
      throw new TypeError(`unknown option ${this.#at(name)} (${this.#show(this.#given[name])})${suggestion}`);
    }
  }

  #at(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }
}

/** What may be said of a value that must not get into a log: one of the wrong name or type may be a secret, too. */
function hide(value: unknown): string {
  if (value === "") return "an empty string";
  return value === null || value === undefined ? String(value) : `a value of type ${typeof value}`;
}

/** A value as an error message shows it: short, and recognisable. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(shorten(value));
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null)
    return `an object with ${shorten(Object.keys(value).join(", ")) || "no fields"}`;
  return String(value);
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function closest(name: string, known: ReadonlySet<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein's distance: insertions, deletions and substitutions that turn one word into the other. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const substitution = (previous[column - 1] as number) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const insertion = (current[column - 1] as number) + 1;
      const deletion = (previous[column] as number) + 1;
      current.push(Math.min(substitution, insertion, deletion));
    }
    previous = current;
  }
  return previous[to.length] as number;
}
