/**
 * The last good set of a service in a file, for a start while discovery is down.
 *
 * Only what a call needs is written: addresses, weights, zones and tiers. Metadata is left out, since a registry may
 * hold in it what does not belong on a disk.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { CheckedEndpoint, Endpoint } from "../core/endpoint.ts";
import { errorCode } from "../core/errors.ts";
import { readText } from "./file-watch.ts";

/** A set, and when it was the newest. */
export interface Snapshot {
  readonly service: string;
  /** In milliseconds since 1970. */
  readonly savedAt: number;
  readonly endpoints: readonly Endpoint[];
}

/** Where a snapshot is kept. */
export interface SnapshotStore {
  /** Undefined when there is none. @throws Error that says what is wrong with it. */
  read(): Promise<Snapshot | undefined>;
  /** @throws Error that says why not; the snapshot before is then still there. */
  write(snapshot: Snapshot): Promise<void>;
}

/** For whoever reads a file of another version. */
const version = 1;
/** What `readText` reads: 100,000 endpoints of 80 bytes. */
const largestText = 8 * 1024 * 1024;

/** @param path absolute. Its folder is made when it is first written. */
export function snapshotFile(path: string, service: string): SnapshotStore {
  return {
    async read() {
      try {
        return parseSnapshot(await readText(path), service);
      } catch (cause) {
        if (errorCode(cause) === "ENOENT") return undefined;
        throw new Error(`the snapshot ${path} is not used: ${messageOf(cause)}`, { cause });
      }
    },
    async write(snapshot) {
      try {
        await replaceFile(path, formatSnapshot(snapshot));
      } catch (cause) {
        throw new Error(`the snapshot ${path} was not written: ${messageOf(cause)}`, { cause });
      }
    },
  };
}

/** What is kept of an endpoint. */
export function toKept({ address, weight, zone, priority }: CheckedEndpoint): Endpoint {
  return { address: address.text, weight, zone, priority };
}

export function formatSnapshot({ service, savedAt, endpoints }: Snapshot): string {
  const lines = endpoints.map((endpoint) => `    ${JSON.stringify(endpoint)}`).join(",\n");
  const head = `  "version": ${version},\n  "service": ${JSON.stringify(service)},\n`;
  const time = `  "savedAt": ${JSON.stringify(new Date(savedAt).toISOString())},\n`;
  const text = `{\n${head}${time}  "endpoints": [\n${lines}\n  ]\n}\n`;
  const size = Buffer.byteLength(text);
  if (size > largestText)
    throw new RangeError(`it has ${size} bytes, at most ${largestText} would be read again`);
  return text;
}

/** @throws Error for anything but a snapshot of this service. Its endpoints are not checked here. */
export function parseSnapshot(text: string, service: string): Snapshot {
  const content: unknown = JSON.parse(text);
  if (typeof content !== "object" || content === null) throw new TypeError("it does not hold an object");
  const given = content as Readonly<Record<string, unknown>>;
  if (given.version !== version) throw new TypeError(`it has another version than ${version}`);
  if (given.service !== service) throw new TypeError(`it is not one of the service "${service}"`);
  const savedAt = typeof given.savedAt === "string" ? Date.parse(given.savedAt) : Number.NaN;
  if (Number.isNaN(savedAt)) throw new TypeError("savedAt is not a time");
  if (!Array.isArray(given.endpoints)) throw new TypeError("endpoints is not an array");
  return { service, savedAt, endpoints: given.endpoints as readonly Endpoint[] };
}

/** The old file or the new one is there at any moment, whatever happens on the way. */
async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const next = `${path}.${randomUUID()}.tmp`;
  try {
    const handle = await open(next, "wx", 0o600);
    try {
      await handle.writeFile(text);
      // Else a power cut may leave the new name with nothing in it.
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
