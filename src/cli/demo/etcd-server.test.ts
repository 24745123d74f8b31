/** Tests of where etcd is looked for; that it starts and stops is tested with the demo. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { UsageError } from "../usage.ts";
import { findEtcd } from "./etcd-server.ts";

it("takes the first that can be run, and says where it looked when there is none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "evenkeel-etcd-"));
  try {
    const path = join(folder, "etcd");
    await writeFile(path, "");
    expect(() => findEtcd(["/nowhere", folder])).toThrow(UsageError);
    expect(() => findEtcd(["/nowhere", folder])).toThrow(`in none of /nowhere, ${folder}; Debian has it`);
    await chmod(path, 0o755);
    expect(findEtcd(["/nowhere", folder])).toBe(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
