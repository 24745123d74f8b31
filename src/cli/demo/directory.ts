/** Where the demo's nodes are announced: a watched file, or a real etcd. */
import { mkdtempSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Discovery, file } from "../../index.ts";
import { removeAtExit } from "./exit-guard.ts";

export interface Directory {
  readonly discovery: Discovery;
  /** What is the matter with it, in a sentence; empty when nothing is. */
  readonly story: string;
  /** Processes that were started for it, those that are gone included. */
  readonly pids: readonly number[];
  /** These addresses are announced from now on. None is ever taken back: nobody tells a registry of a node that died. */
  publish(addresses: readonly string[]): Promise<void>;
  /** It dies with its server, if it has one. */
  die(): Promise<void>;
  comeBack(): Promise<void>;
  close(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

export function fileDirectory(): Directory {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-demo-"));
  removeAtExit(folder);
  const path = join(folder, "orders.json");
  return {
    discovery: file(path),
    story: "",
    pids: [],
    die: nothing,
    comeBack: nothing,
    close: nothing,
    /** By a rename, so that no reader ever sees half a file. */
    async publish(addresses) {
      await writeFile(`${path}.new`, JSON.stringify({ endpoints: addresses }, null, 2));
      await rename(`${path}.new`, path);
    },
  };
}
