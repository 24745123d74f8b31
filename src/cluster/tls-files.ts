/**
 * The certificates that a cluster's connections use: given as they are, or read from files and read again when those
 * change, as they do when a certificate is renewed.
 *
 * New files that cannot be used (half written, a key that does not fit) are reported, and the old ones stay.
 */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { FileWatch, readText } from "../discovery/file-watch.ts";
import type { ResolvedOptions } from "./options.ts";

/** What one handshake needs. */
export interface TlsMaterial {
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

type Field = "ca" | "cert" | "key";
const fileOptions = { ca: "caFile", cert: "certFile", key: "keyFile" } as const;
const fields: readonly Field[] = ["ca", "cert", "key"];

/** How often files are looked at besides the notices of the file system: renewals leave days. */
const pollMs = 5_000;

export class TlsFiles {
  /** Told when connections from now on use other material. */
  readonly listeners: Set<() => void> = new Set();
  readonly #options: ResolvedOptions["tls"];
  readonly #report: (error: Error) => void;
  readonly #watches: FileWatch[] = [];
  #current: TlsMaterial;
  #closed = false;

  /**
   * @param report told of files that changed and cannot be used.
   * @throws TypeError for a file that cannot be read, and for what cannot be used, naming the option.
   */
  constructor(options: ResolvedOptions["tls"], report: (error: Error) => void) {
    this.#options = options;
    this.#report = report;
    const paths = fields.flatMap((field) => options[fileOptions[field]] ?? []);
    this.#current = options;
    // What is given as it is is for each connection to judge.
    if (paths.length === 0) return;
    this.#current = this.#readAtStart();
    for (const path of paths) void this.#watch(path);
  }

  /** What connections use that are made now. */
  get current(): TlsMaterial {
    return this.#current;
  }

  close(): void {
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
  }

  #readAtStart(): TlsMaterial {
    const material: { [Name in Field]?: TlsMaterial[Name] } = { ...pick(this.#options) };
    for (const field of fields) {
      const path = this.#options[fileOptions[field]];
      if (path === undefined) continue;
      try {
        material[field] = readFileSync(path, "utf8");
      } catch (error) {
        throw new TypeError(`tls.${fileOptions[field]} cannot be read: ${(error as Error).message}`);
      }
    }
    try {
      check(material);
    } catch (error) {
      const given = fields.filter((field) => material[field] !== undefined).map((field) => `tls.${field}`);
      throw new TypeError(`${given.join(", ")} cannot be used: ${(error as Error).message}`);
    }
    return material;
  }

  async #watch(path: string): Promise<void> {
    const watch = new FileWatch(path, pollMs);
    this.#watches.push(watch);
    await watch.open();
    while (!this.#closed) {
      await watch.change(false);
      if (!this.#closed) await this.#reload(path);
    }
  }

  async #reload(path: string): Promise<void> {
    try {
      const material: { [Name in Field]?: TlsMaterial[Name] } = { ...pick(this.#options) };
      for (const field of fields) {
        const file = this.#options[fileOptions[field]];
        if (file !== undefined) material[field] = await readText(file);
      }
      if (fields.every((field) => String(material[field]) === String(this.#current[field]))) return;
      check(material);
      if (this.#closed) return;
      this.#current = material;
      for (const listener of this.listeners) listener();
    } catch (error) {
      // A certificate and its key change one after the other: the pair fits once both are written.
      this.#report(
        new Error(`${path} changed and cannot be used: ${(error as Error).message}`, { cause: error }),
      );
    }
  }
}

function pick({ ca, cert, key }: TlsMaterial): TlsMaterial {
  return { ca, cert, key };
}

/** @throws Error when OpenSSL does not take it, or the key is not that of the certificate. */
function check({ ca, cert, key }: TlsMaterial): void {
  createSecureContext({ ca: ca as string | Buffer, cert, key });
}
