/** Records real programs as a user does and replays what came of it: each attempt is in the trace, once. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TraceAttempt, TraceLine } from "../src/cli/record-format.ts";
import { type Backend, startBackends } from "../src/testing/backend.ts";

const node = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
/** The build, where there is one that can record. */
const isBuilt = existsSync(new URL("../dist/cli/record.js", import.meta.url));
const main = fileURLToPath(new URL(isBuilt ? "../dist/cli/main.js" : "../src/cli/main.ts", import.meta.url));
const library = new URL(isBuilt ? "../dist/index.js" : "../src/index.ts", import.meta.url).href;
const temporary = mkdtempSync(join(tmpdir(), "record test "));

/** Half of the calls at once, then the others; exits with 3 in the middle of it all. */
const program = join(temporary, "program.mjs");
writeFileSync(
  program,
  `import { Balancer } from ${JSON.stringify(library)};
const [calls, ...discovery] = process.argv.slice(2);
const orders = new Balancer({ name: "orders", discovery, retry: false, health: { ejection: false } });
const call = async () => (await orders.fetch("/secret-path")).text();
await Promise.all(Array.from({ length: calls / 2 }, call));
for (let left = calls / 2; left > 0; left--) await call();
void call();
process.exit(3);
`,
);

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(node, [main, ...args], { cwd: temporary }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}

function linesOf(trace: string): readonly string[] {
  return readFileSync(join(temporary, trace), "utf8").trimEnd().split("\n");
}

function write(name: string, ...lines: readonly unknown[]): string {
  const text = lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");
  writeFileSync(join(temporary, name), text);
  return name;
}

const header = { evenkeel: "trace", version: 1, at: 0 };

/** The line number `line` of a process that calls node `a` and node `b` in turn, 20 times a second. */
function attempt(line: number, change: Partial<TraceAttempt> = {}): TraceAttempt {
  const at = 1_000_000 + 50 * line;
  const address = line % 2 === 0 ? "http://a" : "http://b";
  const times = { at, durationMs: 10 + (line % 7), latencyMs: 10 + (line % 7) };
  const what = { kind: "end", pid: 1, line, service: "orders", address, attempt: 1 } as const;
  return { ...what, ...times, outcome: "success", reason: "ok", ...change };
}

const attempts = Array.from({ length: 200 }, (_, index) => attempt(index + 1));

afterAll(() => rmSync(temporary, { recursive: true, force: true }));

describe("evenkeel record", () => {
  let backends: readonly Backend[];
  let recorded: Ended;

  beforeAll(async () => {
    backends = await startBackends(3, { workMs: 2 });
    const addresses = backends.map(({ address }) => address);
    recorded = await run("record", "--out", "trace.jsonl", "--", node, program, "60", ...addresses);
  });

  afterAll(async () => {
    await Promise.all(backends.map((backend) => backend.kill()));
  });

  it("writes each attempt that ends, once, and says how many had not", () => {
    const [first = "", ...rest] = linesOf("trace.jsonl");
    expect(JSON.parse(first)).toMatchObject({ evenkeel: "trace", version: 1 });
    const lines = rest.map((line) => JSON.parse(line) as TraceLine);
    const ends = lines.filter((line) => line.kind === "end");
    expect(new Set(ends.map(({ line }) => line)).size).toBe(60);
    expect(lines.filter((line) => line.kind === "loss")).toMatchObject([{ open: 1, dropped: 0 }]);
    for (const { service, outcome, address, durationMs } of ends) {
      expect({ service, outcome }).toEqual({ service: "orders", outcome: "success" });
      expect(backends.map((backend) => backend.address)).toContain(address);
      expect(durationMs).toBeGreaterThan(0);
    }
  });

  it("keeps the exit code, and the program's paths to itself", () => {
    expect(recorded.code).toBe(3);
    expect(recorded.stdout).toBe("");
    expect(recorded.stderr).toBe("evenkeel: 60 attempts recorded in trace.jsonl\n");
    expect(linesOf("trace.jsonl").join()).not.toContain("secret-path");
  });

  it("is read by replay, which has a row for each policy and counts all calls", async () => {
    const { code, stdout, stderr } = await run(
      ...["replay", "trace.jsonl", "--policy", "peakEwma", "--policy", "leastCost"],
    );
    expect(code).toBe(0);
    expect(stderr).toContain("not in the trace: 1 attempt that had not ended");
    expect(stdout).toContain("60 attempts for 60 calls");
    expect(stdout).toContain("Estimate by simulation");
    expect(stdout).toMatch(/^peakEwma +\d.*ms .*0%$/m);
    expect(stdout).toMatch(/^leastCost +\d.*ms .*0%$/m);
    for (const { address } of backends) expect(stdout).toContain(address);
  });

  it("refuses to overwrite, and to run nothing", async () => {
    const again = await run("record", "--out", "trace.jsonl", "--", node, "--version");
    expect(again).toMatchObject({ code: 2, stdout: "" });
    expect(again.stderr).toContain("trace.jsonl exists");
    expect((await run("record", "--out", "other.jsonl")).code).toBe(2);
    const missing = await run("record", "--out", "other.jsonl", "--", join(temporary, "no-such-program"));
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain("cannot be started");
    expect(existsSync(join(temporary, "other.jsonl"))).toBe(false);
  });

  it("says which signal ended the program, by the exit code", async () => {
    const kill = "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)";
    expect((await run("record", "--out", "killed.jsonl", "--", node, "-e", kill)).code).toBe(143);
  });
});

describe("evenkeel replay", () => {
  it("has a row for each policy when none is named, and gives the same for the same seed", async () => {
    const trace = write("good.jsonl", header, ...attempts);
    const { code, stdout, stderr } = await run("replay", trace);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const policies = ["leastCost", "leastRequest", "peakEwma", "roundRobin", "weightedRoundRobin", "random"];
    for (const policy of policies) expect(stdout).toMatch(new RegExp(`^${policy} +\\d`, "m"));
    expect((await run("replay", trace)).stdout).toBe(stdout);
  });

  it("replays failures and hangs where they were", async () => {
    const bad = attempts.map((good) => {
      if (good.address !== "http://a" || good.line < 100) return good;
      return { ...good, outcome: "failure", reason: "status", durationMs: 1, latencyMs: 1 } as const;
    });
    const trace = write("failing.jsonl", header, ...bad);
    const { stdout } = await run("replay", trace, "--policy", "roundRobin", "--no-recovery");
    // From line 100 on every second call fails.
    expect(stdout).toMatch(/^roundRobin .*2[45]\.\d\d%$/m);
    const hanging = bad.map((line) =>
      line.outcome === "failure" ? { ...line, reason: "timeout", durationMs: 400 } : line,
    );
    const hangs = await run("replay", write("hanging.jsonl", header, ...hanging), "--policy", "roundRobin");
    expect(hangs.stdout).toMatch(/^http:\/\/a .*yes$/m);
  });

  it("names bad lines by number and takes each line once", async () => {
    const [first, second] = attempts;
    const trace = write("bad.jsonl", header, first, "{half a li", first, { ...second, at: "late" }, second);
    const { code, stdout, stderr } = await run("replay", trace, "--policy", "random");
    expect(code).toBe(0);
    expect(stdout).toContain("2 attempts for 2 calls");
    expect(stderr).toBe("evenkeel: line 3 skipped: no JSON\nevenkeel: line 5 skipped: at is no number\n");
  });

  it("takes several services apart", async () => {
    const users = attempts.map((line) => ({ ...line, pid: 2, service: "users" }));
    const trace = write("two.jsonl", header, ...attempts, ...users);
    const both = await run("replay", trace, "--policy", "random");
    expect(both.stdout).toMatch(/^orders: 200 attempts/m);
    expect(both.stdout).toMatch(/^users: 200 attempts/m);
    const one = await run("replay", trace, "--policy", "random", "--service", "users");
    expect(one.stdout).not.toContain("orders:");
  });

  it.each([
    { args: [], says: "the trace is missing" },
    { args: ["none.jsonl"], says: "none.jsonl cannot be read" },
    { args: [write("empty.jsonl")], says: "the trace is empty" },
    { args: [write("header.jsonl", header)], says: "header.jsonl holds no attempt" },
    { args: [write("other.jsonl.txt", "hello")], says: "no trace of evenkeel record" },
    { args: [write("newer.jsonl", { ...header, version: 9 })], says: "the trace has version 9" },
    { args: ["x", "--policy", "best"], says: 'unknown policy "best"; there is leastCost, leastRequest' },
    { args: [write("g.jsonl", header, attempt(1)), "--service", "x"], says: 'no service "x" in the trace' },
    { args: ["x", "--sail"], says: "Unknown option '--sail'" },
    { args: ["x", "--seed", "first"], says: "--seed must be a number" },
  ])("exits with 2 for $args", async ({ args, says }) => {
    const { code, stdout, stderr } = await run("replay", ...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(says);
  });
});
