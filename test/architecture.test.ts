/**
 * Holds the architecture that CONTRIBUTING.md describes against the code: who may import whom, what the root
 * reaches, where each folder is explained, how a file opens.
 *
 * The second half shows on small made-up trees that each rule bites.
 */
import { describe, expect, it } from "vitest";
import { hasDefaultExport, importsOf } from "./architecture/imports.ts";
import {
  defaultExportViolations,
  folderViolations,
  headerViolations,
  layerViolations,
  packageViolations,
  reachViolations,
  type Tree,
} from "./architecture/rules.ts";
import { parseFolderMap, parseImportTable, reachOf } from "./architecture/table.ts";
import { readFolders, readText, readTree } from "./architecture/tree.ts";

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const contributing = readText("CONTRIBUTING.md");
const manifest = JSON.parse(readText("package.json")) as Manifest;
const dependencies = new Set(Object.keys(manifest.dependencies));
const peers = Object.keys(manifest.peerDependencies ?? {});
const source = readTree(["src"]);
const code = readTree(["src", "test", "bench", "scripts", "examples"], /\.config\.ts$/);

describe("the repository", () => {
  it("has a source tree to look at", () => {
    expect(source.size).toBeGreaterThan(10);
    expect(source.has("src/index.ts")).toBe(true);
  });

  it("imports only in the direction of the import table", () => {
    expect(layerViolations(source, parseImportTable(contributing))).toEqual([]);
  });

  it("ships no import of a package that it does not depend on", () => {
    expect(packageViolations(source, new Set([...dependencies, ...peers]))).toEqual([]);
  });

  it("reaches from its root no optional peer", () => {
    expect(reachViolations("src/index.ts", source, dependencies)).toEqual([]);
  });

  it("leaves grpc-js' experimental interface to src/grpc", () => {
    const imported = /import[^;]*\bexperimental\b[^;]*from "@grpc\/grpc-js"/;
    const users = Array.from(source.keys()).filter((path) => imported.test(source.get(path) ?? ""));
    expect(users.length).toBeGreaterThan(5);
    expect(users.filter((path) => !path.startsWith("src/grpc/"))).toEqual([]);
  });

  it("opens each file with a sentence that says what it is", () => {
    expect(headerViolations(code)).toEqual([]);
  });

  it("has no default exports", () => {
    const withoutConfig = new Map(Array.from(code).filter(([path]) => !path.endsWith(".config.ts")));
    expect(defaultExportViolations(withoutConfig)).toEqual([]);
  });

  it("explains each folder in the folder map, and no other", () => {
    expect(folderViolations(readFolders(), parseFolderMap(contributing))).toEqual([]);
  });
});

describe("the import table", () => {
  const table = parseImportTable(contributing);
  const reach = (room: string): readonly string[] => Array.from(reachOf(room, table)).sort();
  const belowCluster = ["core", "discovery", "health", "policy", "resilience", "telemetry"];

  // A copy of the rules that are never to change, so that a violation is not waved through in the table.
  it("keeps core free of all others", () => {
    expect(reach("core")).toEqual([]);
  });

  it.each(["policy", "discovery", "health", "resilience", "telemetry"])("gives %s only core", (room) => {
    expect(reach(room)).toEqual(["core"]);
  });

  it("puts cluster over these, and each transport over cluster, beside each other", () => {
    expect(reach("cluster")).toEqual(belowCluster);
    for (const room of ["http", "grpc", "connect", "server"]) {
      expect(reach(room)).toEqual(["cluster", ...belowCluster].sort());
    }
  });

  it("lets nothing but the command line use the test tools", () => {
    const users = Array.from(table.keys()).filter((room) => reachOf(room, table).has("testing"));
    expect(users).toEqual(["cli"]);
  });
});

describe("importsOf", () => {
  it.each([
    ['import { a } from "./x.ts";', "./x.ts"],
    ['import type { A } from "./x.ts";', "./x.ts"],
    ['import { type A } from "./x.ts";', "./x.ts"],
    ['import "./x.ts";', "./x.ts"],
    ['import * as x\n  from "./x.ts";', "./x.ts"],
    ['export * from "./x.ts";', "./x.ts"],
    ['export * as x from "./x.ts";', "./x.ts"],
    ['export type { A } from "./x.ts";', "./x.ts"],
    ['const x = await import("./x.ts");', "./x.ts"],
    ["const x = await import(`./x.ts`);", "./x.ts"],
    ['type X = import("./x.ts").X;', "./x.ts"],
    ['type X = typeof import("./x.ts");', "./x.ts"],
    ['import x = require("./x.ts");', "./x.ts"],
    ['const x = require("x");', "x"],
    ['const x = require.resolve("x");', "x"],
    ["const x = await import(name);", undefined],
    [`const x = await import(\`./\${name}.ts\`);`, undefined],
  ])("sees %s", (text, specifier) => {
    expect(importsOf(`// One.\n${text}`)).toEqual([{ specifier, line: 2 }]);
  });

  it.each([
    '// import "./x.ts";',
    '/* import "./x.ts"; */',
    "const text = 'import \"./x.ts\"';",
    'const text = `import("./x.ts")`;',
    "const pattern = /import('x')/;",
    "export { a };\nconst a = 1;",
    "import.meta.url;",
  ])("sees nothing in %s", (text) => {
    expect(importsOf(text)).toEqual([]);
  });
});

describe("the rules bite", () => {
  const table = parseImportTable(`
## Imports

| Room | May import |
|---|---|
| \`core\` | nothing |
| \`policy\` | \`core\` |
| \`health\` | \`core\` |
| \`http\` | \`policy\`, \`health\` |
| \`testing\` | \`http\` |
| \`index\` | \`http\` |
`);
  const tree = (files: Readonly<Record<string, string>>): Tree =>
    new Map(Object.entries({ "src/core/a.ts": "", "src/policy/b.ts": "", "src/testing/t.ts": "", ...files }));
  const layers = (path: string, text: string): readonly string[] =>
    layerViolations(tree({ [path]: text }), table);

  it("on imports against the table", () => {
    expect(layers("src/core/c.ts", 'import type { B } from "../policy/b.ts";')).toEqual([
      "src/core/c.ts:1: core must not import policy (../policy/b.ts)",
    ]);
    expect(layers("src/health/c.ts", 'export * from "../policy/b.ts";')).toHaveLength(1);
    expect(layers("src/http/c.ts", 'await import("../testing/t.ts");')).toHaveLength(1);
    expect(layers("src/core/c.ts", 'type B = import("../policy/b.ts").B;')).toHaveLength(1);
    expect(layers("src/index.ts", 'export * from "./testing/t.ts";')).toHaveLength(1);
  });

  it("not on imports that the table allows, itself or through others", () => {
    expect(layers("src/http/c.ts", 'import "../policy/b.ts"; import "../core/a.ts";')).toEqual([]);
    expect(layers("src/core/c.ts", 'import "./a.ts"; import "node:fs";')).toEqual([]);
    expect(layers("src/core/a.test.ts", 'import "./a.ts"; import "../testing/t.ts";')).toEqual([]);
  });

  it("on unit tests that cross rooms", () => {
    expect(layers("src/core/a.test.ts", 'import "../policy/b.ts";')).toHaveLength(1);
  });

  it("on rooms without a row, and on imports that lead nowhere, out of src/ or into a test", () => {
    expect(layers("src/utils/u.ts", "")).toEqual(["src/utils/u.ts: the import table has no row for utils"]);
    expect(layers("src/policy/c.ts", 'import "../core/a.js";')).toHaveLength(1);
    expect(layers("src/policy/c.ts", 'import "../../package.json";')).toHaveLength(1);
    expect(layers("src/policy/c.test.ts", 'import "./c.test.ts";')).toEqual([]);
    const withTest = tree({ "src/core/a.test.ts": "", "src/core/c.ts": 'import "./a.test.ts";' });
    expect(layerViolations(withTest, table)).toHaveLength(1);
  });

  it("on tables that contradict themselves", () => {
    const rows = (...lines: readonly string[]): string =>
      ["## Imports", "| a | b |", "|---|---|", ...lines].join("\n");
    expect(() => parseImportTable(rows("| `a` | `b` |"))).toThrow("has no row");
    expect(() => parseImportTable(rows("| `a` | |", "| `a` | |"))).toThrow("two rows");
    expect(() => parseImportTable("## Imports\n\n## Next")).toThrow("no table");
    expect(() => parseImportTable("## Other")).toThrow("no heading");
    const circle = parseImportTable(rows("| `a` | `b` |", "| `b` | `a` |"));
    expect(() => reachOf("a", circle)).toThrow("lets a be imported by what it imports");
  });

  it("on packages that are no dependency", () => {
    const files = tree({
      "src/core/c.ts":
        'import "node:fs"; import "yaml"; import "yaml/x"; import "@a/b/c"; import "vitest"; import "fs";',
      "src/core/c.test.ts": 'import "vitest";',
    });
    expect(packageViolations(files, new Set(["yaml", "@a/b"]))).toEqual([
      "src/core/c.ts:1: vitest is not a dependency of the package",
      "src/core/c.ts:1: fs is not a dependency of the package",
    ]);
  });

  it("on optional peers and computed imports that the root reaches, and names the way there", () => {
    const files = tree({
      "src/index.ts": 'export * from "./http/x.ts"; export { parse } from "yaml";',
      "src/http/x.ts": 'export const load = () => import("./lazy.ts");',
      "src/http/lazy.ts": 'import type { Client } from "@grpc/grpc-js"; import(name); import "./x.ts";',
      "src/http/unreached.ts": 'import "@grpc/grpc-js";',
    });
    expect(reachViolations("src/index.ts", files, new Set(["yaml"]))).toEqual([
      "src/http/lazy.ts:1: @grpc/grpc-js (src/index.ts -> src/http/x.ts -> src/http/lazy.ts)",
      "src/http/lazy.ts:1: a computed import (src/index.ts -> src/http/x.ts -> src/http/lazy.ts)",
    ]);
  });

  it.each([
    "export const a = 1;",
    "",
    "// biome-ignore lint/a: b\nexport const a = 1;",
    "// Node.\nexport const a = 1;",
    "/** the node */",
    "/** A node without an end\n *\n * Then more. */",
    "import a from 'a';\n/** What it is. */",
  ])("on the header of %j", (text) => {
    expect(headerViolations(new Map([["a.ts", text]]))).toHaveLength(1);
  });

  it.each([
    "// What it is.",
    "#!/usr/bin/env node\n// What it is.\nimport 'a';",
    "/** What it is: a thing. */\nimport 'a';",
    "/**\n * What it is,\n * in two lines.\n *\n * why it is so\n */",
    "/*\n * `spread` is a part. */",
  ])("not on the header of %j", (text) => {
    expect(headerViolations(new Map([["a.ts", text]]))).toEqual([]);
  });

  it.each([
    "export default 1;",
    "const a = 1; export { a as default };",
    'export { default } from "./a.ts";',
  ])("on %s", (text) => {
    expect(hasDefaultExport(text)).toBe(true);
  });

  it("not on imports of another's default", () => {
    expect(hasDefaultExport('import a from "a"; export { default as b } from "b"; export { a };')).toBe(
      false,
    );
  });

  it("on folders without a line and lines without a folder", () => {
    const map = parseFolderMap("## Folders\n\n| Folder | Holds |\n|---|---|\n| `a/` | x |\n| `b/` | `y` |");
    expect(folderViolations(["a", "c"], map)).toEqual([
      "c/ is not in the folder map",
      "b/ is in the folder map and does not exist",
    ]);
  });
});
