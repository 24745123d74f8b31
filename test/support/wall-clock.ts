/** A wall clock that jumps, for programs run by `runChild`: libfaketime, told through a file. Monotonic time is real. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The program's side: the file whose content is the jump. */
const fileVariable = "FAKETIME_TIMESTAMP_FILE";

export class WallClock implements Disposable {
  readonly #folder: string;
  /** For `ChildOptions.environment`. */
  readonly environment: Readonly<Record<string, string>>;

  /** @throws Error when libfaketime is not there. */
  constructor() {
    // The command knows where its library is, and tells whatever it runs.
    let environment: string;
    try {
      environment = execFileSync("faketime", ["-m", "-f", "+0", "env"], { encoding: "utf8" });
    } catch (error) {
      throw new Error("faketime failed; is Debian's package of that name installed?", { cause: error });
    }
    const [, library] = /^LD_PRELOAD=(.+)$/m.exec(environment) ?? [];
    if (library === undefined) throw new Error("faketime preloads nothing");
    this.#folder = mkdtempSync(join(tmpdir(), "evenkeel-clock-"));
    const file = join(this.#folder, "offset");
    writeFileSync(file, "+0");
    this.environment = {
      LD_PRELOAD: library,
      [fileVariable]: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

/** In the program: sets the wall clock off from the real time by so many seconds, from now on. */
export function jumpWallClock(offsetSeconds: number): void {
  const file = process.env[fileVariable];
  if (file === undefined) throw new Error("run with the environment of a WallClock");
  writeFileSync(file, offsetSeconds < 0 ? String(offsetSeconds) : `+${offsetSeconds}`);
}
