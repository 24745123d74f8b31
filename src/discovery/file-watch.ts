/**
 * Tells when a file may have changed, and reads it.
 *
 * What is watched is the directory: a file that is replaced by a rename is another file afterwards, and a
 * Kubernetes ConfigMap changes by swapping the link `..data` beside it. Since notices get lost (network file
 * systems, changes behind a link, an exhausted inotify limit), the file is looked at now and then as well.
 */
import { type BigIntStats, type FSWatcher, watch } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";

const largestFile = 8 * 1024 * 1024;
/** After a notice, how long the writer is given to finish: in-place writes come as several notices. */
const settleMs = 25;

/** Reads a whole text. @throws Error that says why not, without the path. */
export async function readText(path: string): Promise<string> {
  const stats = await stat(path);
  const { size } = stats;
  if (!stats.isFile()) throw new Error("is not a file");
  if (size > largestFile) throw new Error(`has ${size} bytes, at most ${largestFile} are read`);
  const handle = await open(path, "r");
  try {
    // One byte more than there should be: a file that grows meanwhile shows, and is not followed.
    const buffer = Buffer.allocUnsafe(size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length !== size) throw new Error("changed while it was read");
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, length));
  } finally {
    await handle.close();
  }
}

/** Waits for changes of one file. Opened once, closed once; nothing here keeps the process alive. */
export class FileWatch {
  readonly #path: string;
  readonly #directory: string;
  readonly #name: string;
  readonly #pollMs: number;
  #watcher: FSWatcher | undefined;
  /** Which directory the watcher watches: after a `mv` the same path is another one. */
  #watched: string | undefined;
  /** What the file looked like when `change` last returned. */
  #seen: string | undefined;
  /** A notice came: of something in the directory, or of this very file. */
  #notice: "none" | "directory" | "file" = "none";
  #closed = false;
  /** Ends the present wait; there is at most one. */
  #wake: (() => void) | undefined;

  constructor(path: string, pollMs: number) {
    this.#path = path;
    this.#directory = dirname(path);
    this.#name = basename(path);
    this.#pollMs = pollMs;
  }

  /** Begins to watch; what changes after this returned is noticed. */
  async open(): Promise<void> {
    await this.#watchDirectory();
    this.#seen = await this.#look();
  }

  /**
   * Returns when the file may have changed since the last return, or at once when closed.
   *
   * @param anyway whether to return after `pollMs` even if it looks unchanged.
   */
  async change(anyway: boolean): Promise<void> {
    let pollAt = performance.now() + this.#pollMs;
    while (!this.#closed) {
      if (this.#notice === "none") await this.#wait(pollAt - performance.now());
      const isPoll = performance.now() >= pollAt;
      if (isPoll) {
        pollAt += this.#pollMs;
        await this.#watchDirectory();
      }
      const notice = this.#notice;
      if (notice !== "none") await this.sleep(settleMs);
      this.#notice = "none";
      const looks = await this.#look();
      // Two writes within one tick of the file system's clock look the same; a notice of the file tells.
      if (looks === this.#seen && notice !== "file" && !(isPoll && anyway)) continue;
      this.#seen = looks;
      return;
    }
  }

  /** Waits, whatever happens to the file; not longer than until `close`. */
  async sleep(ms: number): Promise<void> {
    const until = performance.now() + ms;
    while (!this.#closed) {
      const leftMs = until - performance.now();
      if (leftMs <= 0) return;
      await this.#wait(leftMs);
    }
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#wake?.();
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve();
      const wake = (): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, Math.max(0, Math.ceil(ms))).unref();
      this.#wake = wake;
    });
  }

  async #watchDirectory(): Promise<void> {
    const directory = await identify(this.#directory);
    if (this.#closed || (this.#watcher !== undefined && directory === this.#watched)) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = directory;
    if (directory === undefined) return;
    try {
      const watcher = watch(this.#directory, { persistent: false }, (_event, name) => this.#noticed(name));
      watcher.on("error", () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      // No notices then (the inotify limit, a file system without them); looking now and then goes on.
    }
  }

  #noticed(name: string | null): void {
    if (name === this.#name) this.#notice = "file";
    else if (this.#notice === "none") this.#notice = "directory";
    this.#wake?.();
  }

  async #look(): Promise<string> {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(this.#path, { bigint: true });
      return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
    } catch (error) {
      return error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    }
  }
}

async function identify(directory: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs }: BigIntStats = await stat(directory, { bigint: true });
    // The number of a deleted directory is given to the next one.
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
