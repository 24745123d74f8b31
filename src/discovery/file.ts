/**
 * Discovery from a JSON or YAML file, watched for changes.
 *
 * @example
 * // orders.yaml, or the same as JSON:
 * //   endpoints:
 * //     - http://10.0.0.1:8080
 * //     - { address: "http://10.0.0.2:8080", weight: 2, zone: b }
 * const orders = new Balancer({ name: "orders", discovery: file("orders.yaml") });
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { endpointsFor, type FileFormat, formatOf, parseText } from "./file-format.ts";
import { FileWatch, readText } from "./file-watch.ts";

export interface FileOptions {
  /**
   * How often the file is looked at even if the system tells of no change, from 10 to 3,600,000. Default 5,000:
   * network file systems and changed links give no notice, and a look costs one `stat`.
   */
  readonly pollMs?: number | undefined;
}

/**
 * How often, and how long apart, a file that is missing or makes no sense is read again before that is reported.
 * Most programs write a file in place within a few milliseconds; editors move the old one away first.
 */
const rereads = 4;
const rereadMs = 50;

/**
 * Reads endpoints from a file, now and whenever it changes. It holds an array of endpoints (addresses or
 * objects as `Endpoint`), an object with such an array as `endpoints`, or an object with `services` that maps
 * each service's name to its array.
 *
 * A file that is missing, half-written or wrong is reported, and the last set stays in use. At most 8 MiB are
 * read.
 *
 * @param path ends in `.json`, `.yaml` or `.yml`; relative to the working directory of this moment.
 * @throws TypeError or RangeError for a path or an option that cannot be meant.
 */
export function file(path: string | URL, options: FileOptions = {}): Discovery {
  if (typeof path !== "string" && !(path instanceof URL)) {
    throw new TypeError(`path must be a string or a file: URL, got ${path === null ? "null" : typeof path}`);
  }
  const absolutePath = resolve(typeof path === "string" ? path : fileURLToPath(path));
  return new FileDiscovery(absolutePath, formatOf(absolutePath), checkOptions(options));
}

class FileDiscovery implements Discovery {
  readonly #path: string;
  readonly #format: FileFormat;
  readonly #pollMs: number;

  constructor(path: string, format: FileFormat, pollMs: number) {
    this.#path = path;
    this.#format = format;
    this.#pollMs = pollMs;
  }

  async *watch(context: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const { signal } = context;
    const watch = new FileWatch(this.#path, this.#pollMs);
    const close = (): void => watch.close();
    signal.addEventListener("abort", close);
    /** The text of the last snapshot, and what went wrong since. */
    let lastText: string | undefined;
    let lastError: string | undefined;
    let failures = 0;
    try {
      if (signal.aborted) return;
      await watch.open();
      while (!signal.aborted) {
        let snapshot: readonly Endpoint[] | undefined;
        try {
          const text = await readText(this.#path);
          // The same text is a snapshot after an error: it tells the guard that all is well again.
          if (text !== lastText || lastError !== undefined) {
            snapshot = endpointsFor(context.service, await parseText(this.#format, text));
          }
          lastText = text;
          lastError = undefined;
          failures = 0;
        } catch (error) {
          if (failures++ < rereads) {
            await watch.sleep(rereadMs);
            continue;
          }
          failures = 0;
          const detail = error instanceof Error ? error.message : String(error);
          if (detail !== lastError && !signal.aborted) {
            context.report(new Error(`${this.#path}: ${detail}`, { cause: error }));
          }
          lastError = detail;
        }
        if (snapshot !== undefined && !signal.aborted) yield snapshot;
        // What could not be read may be readable though it looks the same (too many open files).
        await watch.change(lastError !== undefined);
      }
    } finally {
      signal.removeEventListener("abort", close);
      watch.close();
    }
  }
}

function checkOptions(options: FileOptions): number {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`options must be an object, got ${options === null ? "null" : typeof options}`);
  }
  for (const name of Object.keys(options)) {
    if (name !== "pollMs") throw new TypeError(`options.${name} is unknown, did you mean options.pollMs?`);
  }
  const { pollMs = 5_000 } = options;
  if (typeof pollMs !== "number" || !(pollMs >= 10 && pollMs <= 3_600_000)) {
    throw new RangeError(`options.pollMs must be from 10 to 3,600,000, got ${String(pollMs)}`);
  }
  return pollMs;
}
