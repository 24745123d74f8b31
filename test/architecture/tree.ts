/** Reads the repository's own tree from disk, for the rules that are held against it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Tree } from "./rules.ts";

export const root: URL = new URL("../../", import.meta.url);

export function readText(path: string): string {
  return readFileSync(new URL(path, root), "utf8");
}

/** All TypeScript files under the folders, and those whose name matches in the repository's root. */
export function readTree(folders: readonly string[], inRoot?: RegExp): Tree {
  const tree = new Map<string, string>();
  for (const folder of folders) {
    for (const path of filesUnder(folder)) if (path.endsWith(".ts")) tree.set(path, readText(path));
  }
  for (const { name } of readdirSync(root, { withFileTypes: true })) {
    if (inRoot?.test(name)) tree.set(name, readText(name));
  }
  return tree;
}

/**
 * The folders that a folder map has to name: those of the repository's root that git does not ignore and those of
 * src/. A folder without a file does not count, as git does not know it. Of the folders whose name begins with a
 * dot, which editors make too, only .ci is ours.
 */
export function readFolders(): readonly string[] {
  const ignored = readText(".gitignore").split("\n");
  const top = foldersIn("").filter((name) => name === ".ci" || !name.startsWith("."));
  const ours = top.filter((name) => !ignored.includes(`${name}/`));
  return [...ours, ...foldersIn("src/").map((name) => `src/${name}`)].filter((path) => hasFile(path));
}

function foldersIn(folder: string): readonly string[] {
  const entries = readdirSync(new URL(folder, root), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function hasFile(folder: string): boolean {
  return filesUnder(folder).next().done !== true;
}

function* filesUnder(folder: string): Generator<string, void, undefined> {
  const url = new URL(`${folder}/`, root);
  if (!existsSync(url)) return;
  for (const entry of readdirSync(url, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* filesUnder(path);
    else yield path;
  }
}
