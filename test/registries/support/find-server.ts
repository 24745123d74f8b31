/** Where the binaries are that `scripts/servers` installs. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Outside the repository, so that a fresh clone finds what an earlier one has built. */
const serversFolder = process.env.EVENKEEL_SERVERS ?? join(homedir(), ".cache/evenkeel/servers");

/** Binaries that a system may bring along by itself; `etcd-debian` is the old etcd of Debian, 3.4. */
const systemNames: Readonly<Record<string, string>> = { dnsmasq: "dnsmasq", "etcd-debian": "etcd" };

/**
 * The path of a binary, if there is one: `etcd` (3.6 or later), `etcd-debian` (3.4), `consul`, `rnacos`, `dnsmasq`, and
 * the Go programs of `interop/` by the names of their folders.
 */
export function findServer(name: string): string | undefined {
  const systemName = systemNames[name];
  if (systemName === undefined) return firstThatExists([join(serversFolder, "bin", name)]);
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/bin", "/usr/sbin"];
  return firstThatExists(folders.map((folder) => join(folder, systemName)));
}

function firstThatExists(paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}
