/**
 * These tests wait for the wall clock: what they test is that the file system tells of changes, which no virtual
 * clock can. They look every few milliseconds and give up after some seconds.
 */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Endpoint } from "../core/endpoint.ts";
import { discoveryContract } from "../testing/discovery-contract.ts";
import { type FileOptions, file } from "./file.ts";

let directory: string;
let controllers: AbortController[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "evenkeel-file-"));
  controllers = [];
});

afterEach(async () => {
  for (const controller of controllers) controller.abort();
  await rm(directory, { recursive: true, force: true });
});

/** Rarely enough that a test which needs notices would time out without them. */
const slowPoll: FileOptions = { pollMs: 60_000 };

/** Watches a file in the background and keeps what it reports. */
function watch(path: string | URL, options: FileOptions = slowPoll, service = "orders") {
  const controller = new AbortController();
  controllers.push(controller);
  const snapshots: (readonly Endpoint[])[] = [];
  const errors: string[] = [];
  const { signal } = controller;
  const report = (error: unknown): void => void errors.push((error as Error).message);
  const ended = (async () => {
    for await (const snapshot of file(path, options).watch({ service, signal, report }))
      snapshots.push(snapshot);
  })();
  return { controller, snapshots, errors, ended };
}

const waiting = { timeout: 4_000, interval: 5 };
const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How many of them one watched directory counts for. */
const watchersHere = process.platform === "linux" ? 1 : 0;

/** How many directories this process watches. Node does not tell of watchers that do not keep it alive; Linux does. */
async function openWatchers(): Promise<number> {
  if (process.platform !== "linux") return 0;
  let count = 0;
  for (const fd of await readdir("/proc/self/fdinfo")) {
    const info = await readFile(join("/proc/self/fdinfo", fd), "utf8").catch(() => "");
    count += info.split("\n").filter((line) => line.startsWith("inotify wd:")).length;
  }
  return count;
}

describe("file", () => {
  it.each([
    ["a.json", '["http://a", {"address": "http://b", "weight": 2}]'],
    ["b.json", '{"endpoints": ["http://a", {"address": "http://b", "weight": 2}]}'],
    [
      "c.json",
      '\uFEFF{"services": {"orders": ["http://a", {"address": "http://b", "weight": 2}], "users": []}}',
    ],
    ["d.yaml", "- http://a\n- address: http://b\n  weight: 2\n"],
    [
      "e.yml",
      "services:\n  users: []\n  orders:\n    - http://a\n    - { address: 'http://b', weight: 2 }\n",
    ],
    ["f.YAML", "# all of them\nendpoints: [http://a, { address: http://b, weight: 2 }]\n"],
  ])("reads %s", async (name, text) => {
    const path = join(directory, name);
    await writeFile(path, text);
    const { snapshots } = watch(path);
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    expect(snapshots).toEqual([[{ address: "http://a" }, { address: "http://b", weight: 2 }]]);
  });

  it("takes a file: URL, and a path relative to the working directory", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '["http://a"]');
    for (const spelling of [pathToFileURL(path), relative(process.cwd(), path)]) {
      const { snapshots } = watch(spelling);
      await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    }
    expect(() => file(new URL("http://a/b.json"))).toThrow(TypeError);
  });

  it.each([
    [() => file("orders.toml"), /must end in \.json, \.yaml or \.yml, got "orders\.toml"/],
    [() => file(7 as unknown as string), /path must be a string or a file: URL, got number/],
    [() => file("a.json", { pollMs: 0 }), /options\.pollMs must be from 10 to 3,600,000, got 0/],
    [() => file("a.json", { pollMs: Number.NaN }), /options\.pollMs/],
    [
      () => file("a.json", { poll: 10 } as FileOptions),
      /options\.poll is unknown, did you mean options\.pollMs/,
    ],
    [() => file("a.json", null as unknown as FileOptions), /options must be an object, got null/],
  ])("refuses misuse (%#)", (misuse, message) => {
    expect(misuse).toThrow(message);
  });

  it("sees writes in place, replacements by rename and swapped links without polling", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '["http://a"]');
    const { snapshots, errors } = watch(path);
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://a" }]), waiting);
    // Same length, and possibly within one tick of the file system's clock.
    await writeFile(path, '["http://b"]');
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://b" }]), waiting);
    await writeFile(join(directory, "next"), '["http://c"]');
    await rename(join(directory, "next"), path);
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://c" }]), waiting);
    await writeFile(path, '["http://d"]');
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://d" }]), waiting);
    expect(errors).toEqual([]);
  });

  it("follows a Kubernetes ConfigMap, which swaps the link ..data", async () => {
    const publish = async (version: string, text: string): Promise<void> => {
      await mkdir(join(directory, `..${version}`));
      await writeFile(join(directory, `..${version}`, "orders.yaml"), text);
      await symlink(`..${version}`, join(directory, "..data_tmp"));
      await rename(join(directory, "..data_tmp"), join(directory, "..data"));
    };
    await publish("1", "- http://a\n");
    await symlink("..data/orders.yaml", join(directory, "orders.yaml"));
    const { snapshots, errors } = watch(join(directory, "orders.yaml"));
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://a" }]), waiting);
    await publish("2", "- http://b\n");
    await rm(join(directory, "..1"), { recursive: true });
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://b" }]), waiting);
    expect(errors).toEqual([]);
  });

  it("sees by polling what gives no notice", async () => {
    await mkdir(join(directory, "elsewhere"));
    const target = join(directory, "elsewhere", "real.json");
    await writeFile(target, '["http://a"]');
    await symlink(target, join(directory, "a.json"));
    const { snapshots } = watch(join(directory, "a.json"), { pollMs: 20 });
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    await writeFile(target, '["http://a", "http://b"]');
    await vi.waitFor(() => expect(snapshots).toHaveLength(2), waiting);
  });

  it("says nothing when the file is touched, or another one changes", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '["http://a"]');
    const { snapshots, errors } = watch(path, { pollMs: 20 });
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    await writeFile(path, '["http://a"]');
    await writeFile(join(directory, "other.json"), "[");
    await rest(200);
    expect(snapshots).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  it("keeps quiet about a half-written file that is whole a moment later", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '["http://a"]');
    const { snapshots, errors } = watch(path);
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    await writeFile(path, '["http://b", "ht');
    // Less than what it waits before it reads again.
    await rest(30);
    await writeFile(path, '["http://b", "http://c"]');
    await vi.waitFor(() => expect(snapshots).toHaveLength(2), waiting);
    expect(snapshots[1]).toEqual([{ address: "http://b" }, { address: "http://c" }]);
    expect(errors).toEqual([]);
  });

  it("reports what is wrong with a file, once, and keeps watching", async () => {
    const cases: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
      ["a.json", '["http://a",\n "http://b"', /line 2|end of JSON|after array element/i],
      ["b.yaml", "endpoints:\n  - http://a\n  bad\n", /line \d+, column \d+/],
      ["c.yaml", "- http://a\n---\n- http://b\n", /documents/],
      ["d.json", '"http://a"', /must hold an array of endpoints or an object, got a string/],
      ["e.yaml", "", /must hold an array of endpoints or an object, got nothing/],
      ["f.json", '{"endpoint": []}', /must have either "endpoints" or "services" at the top, got "endpoint"/],
      ["g.json", '{"endpoints": [], "services": {}}', /either .* got both/],
      ["h.json", '{"endpoints": {"a": 1}}', /"endpoints" must be an array of endpoints, got an object/],
      [
        "i.json",
        '{"services": ["http://a"]}',
        /"services" must map names to arrays of endpoints, got an array/,
      ],
      ["j.json", '{"services": {"users": []}}', /"services" does not name "orders", only "users"/],
      [
        "k.json",
        '{"services": {"orders": "http://a"}}',
        /"services\.orders" must be an array .* got a string/,
      ],
      ["l.json", Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), /utf-8/i],
      ["m.json", Buffer.alloc(8 * 1024 * 1024 + 1, 0x20), /has 8388609 bytes, at most 8388608 are read/],
      [
        "n.yaml",
        `a: &a [x]\n${["b", "c", "d", "e"].map((key, index) => `${key}: &${key} [${`*${"abcd"[index]},`.repeat(20)}]`).join("\n")}\n`,
        /alias/i,
      ],
    ];
    // All at once: each takes half a second.
    const check = async ([name, text, message]: (typeof cases)[number]): Promise<void> => {
      await mkdir(join(directory, `${name}.d`));
      const path = join(directory, `${name}.d`, name);
      await writeFile(path, text);
      const { snapshots, errors } = watch(path, { pollMs: 20 });
      await vi.waitFor(() => expect(errors).toHaveLength(1), waiting);
      expect(errors[0]).toMatch(message);
      expect(errors[0]).toContain(path);
      await rest(350);
      expect(errors).toHaveLength(1);
      expect(snapshots).toEqual([]);
      await writeFile(path, '["http://a"]');
      await vi.waitFor(() => expect(snapshots).toEqual([[{ address: "http://a" }]]), waiting);
    };
    await Promise.all(cases.map(check));
  });

  it("says the set again when a file that was wrong is as it was before: all is well again", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '["http://a"]');
    const { snapshots, errors } = watch(path);
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    await writeFile(path, "[");
    await vi.waitFor(() => expect(errors).toHaveLength(1), waiting);
    await writeFile(path, '["http://a"]');
    await vi.waitFor(() => expect(snapshots).toHaveLength(2), waiting);
  });

  it("reports a missing file, and picks it up when it appears, directory and all", async () => {
    const path = join(directory, "later", "a.json");
    const before = await openWatchers();
    const { snapshots, errors } = watch(path, { pollMs: 20 });
    await vi.waitFor(() => expect(errors).toEqual([expect.stringMatching(/ENOENT/)]), waiting);
    await mkdir(join(directory, "later"));
    await writeFile(path, '["http://a"]');
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    await unlink(path);
    await vi.waitFor(() => expect(errors).toHaveLength(2), waiting);
    await rm(join(directory, "later"), { recursive: true });
    await mkdir(join(directory, "later"));
    await writeFile(path, '["http://b"]');
    await vi.waitFor(() => expect(snapshots.at(-1)).toEqual([{ address: "http://b" }]), waiting);
    expect(errors).toHaveLength(2);
    // The new directory is the one that is watched now.
    await vi.waitFor(async () => expect(await openWatchers()).toBe(before + watchersHere), waiting);
  });

  it("releases everything when its reader leaves without aborting", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '["http://a"]');
    const before = await openWatchers();
    const { signal } = new AbortController();
    for await (const snapshot of file(path).watch({ service: "orders", signal, report: () => {} })) {
      expect(await openWatchers()).toBe(before + watchersHere);
      expect(snapshot).toHaveLength(1);
      break;
    }
    await vi.waitFor(async () => expect(await openWatchers()).toBe(before), waiting);
  });

  it("reports a directory in place of the file", async () => {
    const path = join(directory, "a.json");
    await mkdir(path);
    const { errors } = watch(path);
    await vi.waitFor(() => expect(errors).toEqual([expect.stringContaining("is not a file")]), waiting);
  });

  it.each([
    [
      "a.json",
      '[{"address": "http://a", "metadata": {"__proto__": {"polluted": 1}}, "__proto__": {"weight": 9}}]',
    ],
    [
      "b.yaml",
      "- address: http://a\n  metadata:\n    __proto__: { polluted: 1 }\n  __proto__: { weight: 9 }\n",
    ],
  ])("leaves __proto__ in %s a plain key, for the checker to refuse", async (name, text) => {
    await writeFile(join(directory, name), text);
    const { snapshots } = watch(join(directory, name));
    await vi.waitFor(() => expect(snapshots).toHaveLength(1), waiting);
    const [endpoint] = snapshots[0] as readonly Endpoint[];
    expect(endpoint?.weight).toBeUndefined();
    expect(Object.getPrototypeOf(endpoint)).toBe(Object.prototype);
    expect(Object.keys(endpoint?.metadata as object)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("looks a service up among the file's own names only", async () => {
    const path = join(directory, "a.json");
    await writeFile(path, '{"services": {}}');
    const { errors } = watch(path, slowPoll, "constructor");
    await vi.waitFor(
      () => expect(errors[0]).toContain('"services" does not name "constructor", only nothing'),
      waiting,
    );
  });

  it("ends at once when aborted, whatever it is doing, with nothing left open", async () => {
    const before = await openWatchers();
    const path = join(directory, "a.json");
    await writeFile(path, "[");
    for (const afterMs of [0, 1, 5, 30, 120, 350]) {
      const { controller, ended, errors } = watch(path);
      await rest(afterMs);
      if (afterMs === 350) expect(await openWatchers()).toBe(before + watchersHere);
      controller.abort();
      await ended;
      const { length } = errors;
      await rest(5);
      expect(errors).toHaveLength(length);
    }
    await vi.waitFor(async () => expect(await openWatchers()).toBe(before), waiting);
  });
});

describe("file as a source", () => {
  const contract = discoveryContract(async () => {
    const home = await mkdtemp(join(tmpdir(), "evenkeel-file-contract-"));
    const path = join(home, "orders.json");
    return {
      discovery: file(path, slowPoll),
      publish: async (endpoints) => {
        await writeFile(`${path}.next`, JSON.stringify(endpoints));
        await rename(`${path}.next`, path);
      },
      openHandles: openWatchers,
      dispose: () => rm(home, { recursive: true, force: true }),
    };
  });
  for (const { name, run } of contract) it(name, run);
});
