/** These tests use real files, as what they are about is what is on the disk, and what never is. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkEndpoint } from "../core/endpoint.ts";
import { formatSnapshot, parseSnapshot, snapshotFile, toKept } from "./snapshot-file.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "evenkeel-snapshot-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const savedAt = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const endpoints = ["10.0.0.1:80", { address: "https://b", weight: 2, zone: "z", priority: 1 }].map((given) =>
  toKept(checkEndpoint(given)),
);

describe("a snapshot in a file", () => {
  it("comes back as it was written, in a folder made for it, with nothing else left there", async () => {
    const path = join(folder, "deep", "orders.json");
    const file = snapshotFile(path, "orders");
    expect(await file.read()).toBeUndefined();
    await file.write({ service: "orders", savedAt, endpoints });
    await file.write({ service: "orders", savedAt, endpoints });
    expect(await file.read()).toEqual({ service: "orders", savedAt, endpoints });
    expect(await readdir(join(folder, "deep"))).toEqual(["orders.json"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("keeps nothing of an endpoint's metadata", () => {
    const checked = checkEndpoint({ address: "http://a", metadata: { token: "hush" } });
    expect(formatSnapshot({ service: "orders", savedAt, endpoints: [toKept(checked)] })).not.toContain(
      "hush",
    );
  });

  it.each([
    ["", /Unexpected end/],
    ["[]", /another version/],
    ["null", /does not hold an object/],
    ['{"version":2}', /another version/],
    ['{"version":1,"service":"users"}', /is not one of the service "orders"/],
    ['{"version":1,"service":"orders","savedAt":"once"}', /savedAt is not a time/],
    [`{"version":1,"service":"orders","savedAt":"2026-01-01","endpoints":{}}`, /endpoints is not an array/],
  ])("is not used when it holds %o", async (text, message) => {
    const path = join(folder, "orders.json");
    await writeFile(path, text);
    await expect(snapshotFile(path, "orders").read()).rejects.toThrow(message);
    await expect(snapshotFile(path, "orders").read()).rejects.toThrow(
      /^the snapshot .*orders\.json is not used/,
    );
  });

  it("is neither read nor written above 8 MiB", async () => {
    const path = join(folder, "orders.json");
    await writeFile(path, Buffer.alloc(9 * 1024 * 1024, " "));
    await expect(snapshotFile(path, "orders").read()).rejects.toThrow(/at most 8388608/);
    const many = Array.from({ length: 100_000 }, () => ({ address: "a".repeat(100) }));
    const write = snapshotFile(path, "orders").write({ service: "orders", savedAt, endpoints: many });
    await expect(write).rejects.toThrow(/was not written: it has \d+ bytes/);
    expect((await stat(path)).size).toBe(9 * 1024 * 1024);
  });

  it("leaves the old one and no other file when it cannot be written", async () => {
    // A folder stands where the file should be: the rename fails.
    await expect(
      snapshotFile(folder, "orders").write({ service: "orders", savedAt, endpoints }),
    ).rejects.toThrow(/was not written/);
    const left = (await readdir(tmpdir())).filter((name) => folder.endsWith(name.replace(/\..*$/, "")));
    expect(left.filter((name) => name.endsWith(".tmp"))).toEqual([]);
    await writeFile(join(folder, "plain"), "");
    const below = snapshotFile(join(folder, "plain", "orders.json"), "orders");
    await expect(below.write({ service: "orders", savedAt, endpoints })).rejects.toThrow(/ENOTDIR|EEXIST/);
  });

  it("is text for people, too", async () => {
    const path = join(folder, "orders.json");
    await snapshotFile(path, "orders").write({ service: "orders", savedAt, endpoints });
    const lines = (await readFile(path, "utf8")).split("\n");
    expect(lines[3]).toBe('  "savedAt": "2026-01-02T03:04:05.678Z",');
    expect(lines[5]).toBe('    {"address":"http://10.0.0.1","weight":1,"priority":0},');
    expect(parseSnapshot(lines.join("\n"), "orders").endpoints).toHaveLength(2);
  });
});
