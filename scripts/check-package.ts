/**
 * Checks the package as its users get it: packs it, installs it into an empty project and uses it there.
 *
 * Needs a build. Installs from the npm registry, or from npm's cache, what the package depends on and the oldest
 * Node.js that it supports, and none of its optional peers: every subpath has to load without them, but for those that
 * are made of one.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

interface Manifest {
  readonly name: string;
  readonly engines: { readonly node: string };
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const root = fileURLToPath(new URL("../", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const peers = Object.keys(manifest.peerDependencies ?? {});
const subpaths = Object.keys(manifest.exports).map((subpath) => subpath.replace(/^\./, manifest.name));
const modules = subpaths.filter((subpath) => !subpath.endsWith(".json"));
/** Subpaths that are of no use without their peer, and say so by not loading. The peer is installed beside them last. */
const madeOf: ReadonlyMap<string, string> = new Map([[`${manifest.name}/grpc`, "@grpc/grpc-js"]]);
const independent = modules.filter((name) => !madeOf.has(name));
const temporary = mkdtempSync(join(tmpdir(), "check-package-"));
const project = join(temporary, "project");

try {
  await step("the lockfile names no registry", checkLockfile);
  const tarball = await step("the package holds the build and nothing else", pack);
  await step("publint has no complaint", () => lint(tarball));
  await step("it installs into an empty project", () => install(project, tarball));
  await step(`each subpath loads, on Node.js ${process.version}`, () => load(process.execPath, independent));
  const oldest = await step("the oldest supported Node.js installs", installOldestNode);
  await step("each subpath loads there, too", () => load(oldest, independent));
  await step("those that are made of a peer name it when it is missing", expectNamedPeers);
  await step("the types of each subpath resolve", checkTypes);
  await step("the command line starts", startCommands);
  await step("those that are made of a peer load with it, too", async () => {
    await addToProject([...madeOf].map(([, peer]) => `${peer}@${manifest.peerDependencies?.[peer]}`));
    for (const node of [process.execPath, oldest]) await load(node, [...madeOf.keys()]);
  });
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
console.log(`The package is sound: ${modules.join(", ")}`);

async function step<T>(name: string, check: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    const result = await check();
    console.log(`ok: ${name} (${Math.round(performance.now() - start)} ms)`);
    return result;
  } catch (error) {
    console.log(`FAILED: ${name}`);
    throw error;
  }
}

/** A registry's address in the lockfile would send everyone to the registry of whoever wrote it last. */
function checkLockfile(): void {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly resolved?: string }>>;
  };
  const entries = Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined);
  expectNone(entries.map(([path, { resolved }]) => `${path}: ${resolved}`));
}

async function pack(): Promise<string> {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", temporary];
  const [packed] = JSON.parse(await run("npm", args, root)) as readonly {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[];
  if (packed === undefined) throw new Error("npm packed nothing");
  const ours =
    /^(?:package\.json|README\.md|CHANGELOG\.md|LICENSE|dist\/.+\.(?:js|d\.ts)|docs\/grafana\/.+\.json)$/;
  const paths = packed.files.map(({ path }) => path);
  expectNone(paths.filter((path) => !ours.test(path) || /\.test\./.test(path)));
  for (const path of ["README.md", "CHANGELOG.md", "LICENSE"]) {
    if (!paths.includes(path)) throw new Error(`${path} is missing`);
  }
  return join(temporary, packed.filename);
}

async function lint(tarball: string): Promise<void> {
  const { buffer } = new Uint8Array(readFileSync(tarball));
  const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true });
  expectNone(messages.map((message) => formatMessage(message, pkg) ?? message.code));
}

async function install(folder: string, what: string): Promise<void> {
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await run(
    "npm",
    ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", what],
    folder,
  );
  const installed = await run("npm", ["ls", "--all", "--parseable"], folder);
  expectNone(peers.filter((peer) => installed.includes(join("node_modules", peer))));
}

/** By import and by require, which must give the same names. */
async function load(node: string, names: readonly string[]): Promise<void> {
  const list = JSON.stringify(names);
  writeFileSync(
    join(project, "load.mjs"),
    `for (const name of ${list}) console.log(name, Object.keys(await import(name)).sort().join());`,
  );
  writeFileSync(
    join(project, "load.cjs"),
    `for (const name of ${list}) console.log(name, Object.keys(require(name)).sort().join());`,
  );
  const imported = await run(node, ["load.mjs"], project);
  const required = await run(node, ["load.cjs"], project);
  if (imported !== required) throw new Error(`import and require differ:\n${imported}\n${required}`);
  for (const subpath of subpaths)
    await run(node, ["-p", `require.resolve(${JSON.stringify(subpath)})`], project);
}

async function expectNamedPeers(): Promise<void> {
  for (const [name, peer] of madeOf) {
    const told = await run(process.execPath, ["-e", `import("${name}")`], project).catch(
      (error: Error) => error.message,
    );
    if (!told.includes(`'${peer}'`))
      throw new Error(`${name} does not say that ${peer} is missing:\n${told}`);
  }
}

async function addToProject(packages: readonly string[]): Promise<void> {
  await run(
    "npm",
    ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", ...packages],
    project,
  );
}

/** The npm registry has Node.js as packages, one for each platform. */
async function installOldestNode(): Promise<string> {
  const [major, minor] = manifest.engines.node.match(/\d+/g) ?? [];
  const { platform, arch } = process;
  const name = `${platform === "darwin" ? "node-bin" : "node"}-${platform === "win32" ? "win" : platform}-${arch}`;
  const folder = join(temporary, "oldest");
  await install(folder, `${name}@${major}.${minor ?? 0}.0`);
  const node = join(folder, "node_modules", name, "bin", platform === "win32" ? "node.exe" : "node");
  const version = (await run(node, ["--version"], folder)).trim();
  if (version !== `v${major}.${minor ?? 0}.0`) throw new Error(`It says that it is ${version}`);
  return node;
}

/**
 * From an ES module and from a CommonJS module, our declarations included. What a subpath takes from an optional
 * peer cannot resolve here, and the declarations of others are theirs to keep.
 */
async function checkTypes(): Promise<void> {
  const imports = modules.map((name, i) => `import * as m${i} from "${name}";\nvoid m${i};\n`);
  const requires = modules.map((name, i) => `import m${i} = require("${name}");\nvoid m${i};\n`);
  writeFileSync(join(project, "types.ts"), imports.join(""));
  writeFileSync(join(project, "types.cts"), requires.join(""));
  const compilerOptions = {
    target: "ES2024",
    lib: ["ES2024", "ESNext.Disposable"],
    module: "NodeNext",
    moduleResolution: "NodeNext",
    strict: true,
    noEmit: true,
    typeRoots: [join(root, "node_modules/@types")],
    types: ["node"],
  };
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["types.ts", "types.cts"] }),
  );
  const args = ["-p", ".", "--pretty", "false"];
  const report = await run(join(root, "node_modules/.bin/tsc"), args, project).catch(
    (error: Error) => error.message,
  );
  const errors = report.split("\n").filter((line) => line.includes("error TS"));
  const foreign = new RegExp(`node_modules/(?!${manifest.name}/)`);
  const missingPeer = peers.map((peer) => `Cannot find module '${peer}`);
  expectNone(
    errors.filter((line) => !foreign.test(line) && !missingPeer.some((text) => line.includes(text))),
  );
}

async function startCommands(): Promise<void> {
  for (const command of Object.keys(manifest.bin)) {
    const help = await run(join(project, "node_modules/.bin", command), ["--help"], project);
    if (!help.includes(command)) throw new Error(`${command} --help does not say what it is:\n${help}`);
  }
}

function expectNone(complaints: readonly string[]): void {
  if (complaints.length > 0) throw new Error(complaints.join("\n"));
}

/** What the command prints to its standard output. Rejects with all that it printed when it fails. */
function run(file: string, args: readonly string[], cwd: string): Promise<string> {
  // The commands that we start find the Node.js that runs this script.
  const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  // Even an install over a slow line is done by then; what is not hangs.
  const options = { cwd, env: { ...process.env, PATH }, timeout: 120_000, maxBuffer: 2 ** 26 };
  execFile(file, args, options, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`${file} ${args.join(" ")}: ${error.code ?? "did not end"}\n${stdout}${stderr}`));
  });
  return promise;
}
