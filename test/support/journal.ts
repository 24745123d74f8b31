/** Counts how often each keyed call arrived at any of the backends, those that were killed since included. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Journal implements Disposable {
  readonly #folder: string;
  /** For `BackendBehaviour.journal`. */
  readonly path: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "evenkeel-journal-"));
    this.path = join(this.#folder, "arrivals");
    writeFileSync(this.path, "");
  }

  /** Arrivals by the value of the header x-test-key. */
  arrivals(): ReadonlyMap<string, number> {
    const arrivals = new Map<string, number>();
    for (const key of readFileSync(this.path, "utf8").split("\n")) {
      if (key !== "") arrivals.set(key, (arrivals.get(key) ?? 0) + 1);
    }
    return arrivals;
  }

  /** Keys that arrived more than once. */
  doubles(): readonly string[] {
    return Array.from(this.arrivals()).flatMap(([key, times]) => (times > 1 ? [key] : []));
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}
