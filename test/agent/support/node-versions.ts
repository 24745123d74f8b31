/**
 * Further versions of Node.js to run programs on, from the npm registry: the oldest that the package supports, and 24.
 *
 * They are kept in the user's cache folder. As development dependencies they would fight with the current Node.js over
 * the name `node` in node_modules/.bin.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../../", import.meta.url));

const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly engines: { readonly node: string };
};
const [major, minor] = engines.node.match(/\d+/g) ?? [];

/** The current one is the development dependency, whatever runs the tests. */
export const nodeVersions: Readonly<Record<"oldest" | "lts" | "current", string>> = {
  oldest: `${major}.${minor ?? 0}.0`,
  lts: "24.21.0",
  current: "26",
};

/** The path of a Node.js of `nodeVersions`, which is downloaded (some 50 MB) when it is asked for the first time. */
export async function nodeOfVersion(version: string): Promise<string> {
  const executable = process.platform === "win32" ? "node.exe" : "node";
  if (version === nodeVersions.current) return join(root, "node_modules/node/bin", executable);
  const { platform, arch } = process;
  const name = `${platform === "darwin" ? "node-bin" : "node"}-${platform === "win32" ? "win" : platform}-${arch}`;
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "evenkeel");
  const folder = join(cache, `${name}-${version}`);
  const node = join("node_modules", name, "bin", executable);
  if (!existsSync(join(folder, node))) {
    mkdirSync(cache, { recursive: true });
    const unfinished = mkdtempSync(join(cache, "unfinished-"));
    try {
      writeFileSync(join(unfinished, "package.json"), JSON.stringify({ private: true }));
      const args = ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
      await run("npm", [...args, `${name}@${version}`], { cwd: unfinished });
      // Whoever is first wins; another run that does the same at this moment finds the same there.
      if (!existsSync(join(folder, node))) renameSync(unfinished, folder);
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
    }
  }
  return join(folder, node);
}
