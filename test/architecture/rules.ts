/**
 * The rules that the source tree keeps, as pure functions from a tree to the list of what breaks them.
 *
 * A tree is a map from path to text, so that each rule can be shown to bite on a tree of three lines.
 */
import { posix } from "node:path";
import { hasDefaultExport, importsOf } from "./imports.ts";
import { type ImportTable, reachOf } from "./table.ts";

/** Path, with slashes and from the repository's root, to text. */
export type Tree = ReadonlyMap<string, string>;

const isTest = (path: string): boolean => path.endsWith(".test.ts");
const isRelative = (specifier: string): boolean => /^\.{0,2}\//.test(specifier);

/** The room that a file of src/ belongs to: its folder's name, or its own name when it lies in src/ itself. */
export function roomOf(path: string): string {
  const [, first = "", second] = path.split("/");
  return second === undefined ? first.replace(/(\.test)?\.ts$/, "") : first;
}

/**
 * Imports between rooms that the table does not allow, and relative imports that lead nowhere or out of src/.
 * A unit test may also use what `testing` offers; production code outside the rows that name `testing` may not.
 */
export function layerViolations(tree: Tree, table: ImportTable): readonly string[] {
  const violations: string[] = [];
  for (const [path, source] of tree) {
    const room = roomOf(path);
    if (!table.has(room)) {
      violations.push(`${path}: the import table has no row for ${room}`);
      continue;
    }
    const allowed = new Set([room, ...reachOf(room, table)]);
    if (isTest(path)) allowed.add("testing");
    for (const { specifier, line } of importsOf(source)) {
      if (specifier === undefined || !isRelative(specifier)) continue;
      const target = posix.join(posix.dirname(path), specifier);
      if (!tree.has(target)) violations.push(`${path}:${line}: ${specifier} is not a file of src/`);
      else if (!isTest(path) && isTest(target))
        violations.push(`${path}:${line}: imports the test ${target}`);
      else if (!allowed.has(roomOf(target))) {
        violations.push(`${path}:${line}: ${room} must not import ${roomOf(target)} (${specifier})`);
      }
    }
  }
  return violations;
}

/** Bare imports of shipped files that are neither Node's own nor one of `packages`. */
export function packageViolations(tree: Tree, packages: ReadonlySet<string>): readonly string[] {
  const violations: string[] = [];
  for (const [path, source] of tree) {
    if (isTest(path)) continue;
    for (const { specifier, line } of importsOf(source)) {
      if (specifier !== undefined && !isRelative(specifier) && !isAllowedPackage(specifier, packages)) {
        violations.push(`${path}:${line}: ${specifier} is not a dependency of the package`);
      }
    }
  }
  return violations;
}

/**
 * What `entry` reaches, however deep, static and dynamic imports alike, beyond Node's own modules and `packages`.
 * A computed import counts: nobody can tell where it leads.
 */
export function reachViolations(entry: string, tree: Tree, packages: ReadonlySet<string>): readonly string[] {
  const violations: string[] = [];
  const via = new Map<string, string | undefined>([[entry, undefined]]);
  for (const path of via.keys()) {
    for (const { specifier, line } of importsOf(tree.get(path) ?? "")) {
      if (specifier === undefined) {
        violations.push(`${path}:${line}: a computed import (${chainTo(path, via)})`);
      } else if (isRelative(specifier)) {
        const target = posix.join(posix.dirname(path), specifier);
        if (!via.has(target)) via.set(target, path);
      } else if (!isAllowedPackage(specifier, packages)) {
        violations.push(`${path}:${line}: ${specifier} (${chainTo(path, via)})`);
      }
    }
  }
  return violations;
}

function chainTo(path: string, via: ReadonlyMap<string, string | undefined>): string {
  const chain = [path];
  for (let from = via.get(path); from !== undefined; from = via.get(from)) chain.unshift(from);
  return chain.join(" -> ");
}

function isAllowedPackage(specifier: string, packages: ReadonlySet<string>): boolean {
  if (specifier.startsWith("node:")) return true;
  const depth = specifier.startsWith("@") ? 2 : 1;
  return packages.has(specifier.split("/").slice(0, depth).join("/"));
}

/** Files that do not open with a comment whose first paragraph is a sentence. */
export function headerViolations(tree: Tree): readonly string[] {
  return Array.from(tree)
    .filter(([, source]) => !opensWithSentence(source))
    .map(([path]) => `${path}: does not open with a sentence that says what it is`);
}

function opensWithSentence(source: string): boolean {
  const code = source.replace(/^#!.*\n/, "").trimStart();
  const comment = /^\/\*[\s\S]*?\*\//.exec(code)?.[0] ?? /^(?:\/\/.*\n?)+/.exec(code)?.[0];
  if (comment === undefined) return false;
  const lines = comment
    .split("\n")
    .map((line) => line.replace(/^\s*(?:\/\*+|\*\/|\*|\/\/+)|\*\/\s*$/g, "").trim());
  const [paragraph = ""] = lines.join("\n").trim().split("\n\n");
  return /^[A-Z`"\d]/.test(paragraph) && /[.:?!)`]$/.test(paragraph) && /\s/.test(paragraph);
}

/** Files with a default export. */
export function defaultExportViolations(tree: Tree): readonly string[] {
  return Array.from(tree)
    .filter(([, source]) => hasDefaultExport(source))
    .map(([path]) => `${path}: has a default export`);
}

/** Folders that exist and are not in the map, and the other way round. */
export function folderViolations(existing: Iterable<string>, mapped: readonly string[]): readonly string[] {
  const tree = new Set(existing);
  const map = new Set(mapped);
  return [
    ...Array.from(tree)
      .filter((folder) => !map.has(folder))
      .map((folder) => `${folder}/ is not in the folder map`),
    ...Array.from(map)
      .filter((folder) => !tree.has(folder))
      .map((folder) => `${folder}/ is in the folder map and does not exist`),
  ];
}
