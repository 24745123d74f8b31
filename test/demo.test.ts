/**
 * Runs `evenkeel demo` as a user does: no call through Evenkeel fails, while the same faults do reach BalancedPool,
 * and no process is left, however it ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { ChainResults } from "../src/cli/chain-demo/results.ts";
import type { PhaseResult, Results, SystemResult } from "../src/cli/demo/results.ts";

const node = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
const built = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const source = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const program = existsSync(built) ? built : source;
/** Where the demo puts its file: a place of our own, to see what is left in it. */
const temporary = mkdtempSync(join(tmpdir(), "demo-test-"));

afterAll(() => rmSync(temporary, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(...args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(node, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: temporary },
  });
  const { promise: exit, resolve } = Promise.withResolvers<number | null>();
  child.once("close", resolve);
  const ended = Promise.all([exit, text(child.stdout), text(child.stderr)]).then(
    ([code, stdout, stderr]) => ({
      code,
      stdout,
      stderr,
    }),
  );
  return { child, ended };
}

function run(...args: readonly string[]): Promise<Ended> {
  return start(...args).ended;
}

/** A process that has ended and was not waited for yet still has its number. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}

/** Real processes: SIGKILL takes effect when the system gets to it. */
async function leftOf(pids: readonly number[]): Promise<readonly number[]> {
  for (let wait = 0; wait < 50 && pids.some(isRunning); wait++) await sleep(100);
  return pids.filter(isRunning);
}

/** Resolves with all output so far when it contains the text. */
function printed(child: ChildProcess, wanted: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    if (output.includes(wanted)) resolve(output);
  });
  child.once("close", () => reject(new Error(`it ended without printing "${wanted}":\n${output}`)));
  return promise;
}

function attemptsTo(system: SystemResult, ...numbers: readonly number[]): number {
  return system.nodes.reduce((sum, { node, attempts }) => sum + (numbers.includes(node) ? attempts : 0), 0);
}

describe("evenkeel demo", () => {
  it("loses no call through Evenkeel, shows what the faults do to BalancedPool, and leaves no process", async () => {
    // Longer than the 2 s that each call has: frozen for less, a node answers late and no call fails.
    const { code, stdout, stderr } = await run("demo", "--json", "--phase-seconds", "3", "--rate", "150");
    expect(stderr).toBe("");
    const results = JSON.parse(stdout) as Results;
    const phase = (
      id: PhaseResult["phase"],
    ): { readonly evenkeel: SystemResult; readonly peer: SystemResult } => {
      const found = results.phases.find((result) => result.phase === id);
      if (found?.balancedPool === undefined) throw new Error(`no phase ${id} of both`);
      return { evenkeel: found.evenkeel, peer: found.balancedPool };
    };

    const { evenkeel, balancedPool } = results.totals;
    console.log(`evenkeel: ${evenkeel.failed} of ${evenkeel.calls} calls failed (pass: 0)`);
    console.log(`balanced pool: ${balancedPool?.failed} of ${balancedPool?.calls} calls failed (pass: some)`);
    expect(results.phases.flatMap((result) => result.evenkeel.failures)).toEqual([]);
    expect({ code, verdict: results.verdict, failed: evenkeel.failed }).toEqual({
      code: 0,
      verdict: "passed",
      failed: 0,
    });
    // 150 calls per second for 18 s, and the load goes on while a phase changes.
    expect(evenkeel.calls).toBeGreaterThanOrEqual(2_700);
    expect(Math.abs(evenkeel.calls - (balancedPool?.calls ?? 0))).toBeLessThanOrEqual(1);

    expect(results.phases.map((result) => result.phase)).toEqual([
      "healthy",
      "slow",
      "killed",
      "failing",
      "frozen",
      "recovered",
    ]);
    expect(phase("healthy").peer.failed).toBe(0);
    // A fair share is a fifth.
    expect(phase("slow").evenkeel.badShare).toBeLessThan(0.1);
    expect(phase("slow").peer.badShare).toBeGreaterThan(0.15);
    // The faults are real: they cost BalancedPool calls. Evenkeel may need no new call to notice, when one that was
    // under way at that moment comes to grief; that one was sent in the phase before.
    for (const id of ["killed", "failing", "frozen"] as const) {
      const { evenkeel: ours, peer } = phase(id);
      expect(ours.badShare, id).toBeLessThan(0.1);
      expect(peer.failed, id).toBeGreaterThan(0);
    }
    expect(attemptsTo(phase("killed").peer, 3)).toBeGreaterThan(0);
    expect(attemptsTo(phase("recovered").evenkeel, 6)).toBeGreaterThan(0);
    expect(attemptsTo(phase("recovered").evenkeel, 7)).toBeGreaterThan(0);

    // Seven each, and the one that was killed and started again.
    expect(new Set(results.pids).size).toBe(16);
    expect(await leftOf(results.pids)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("loses no call when the nodes are in a real etcd that is killed on the way", async () => {
    const { code, stdout, stderr } = await run(
      ...[
        "demo",
        "--registry",
        "etcd",
        "--only",
        "evenkeel",
        "--json",
        "--phase-seconds",
        "2",
        "--rate",
        "100",
      ],
    );
    expect(stderr).toBe("");
    const results = JSON.parse(stdout) as Results;
    expect(results.phases.flatMap((result) => result.evenkeel.failures)).toEqual([]);
    expect(code).toBe(0);
    const last = results.phases.at(-1)?.evenkeel;
    if (last === undefined) throw new Error("no phase was played");
    // They were registered after etcd had come back.
    expect(attemptsTo(last, 6)).toBeGreaterThan(0);
    expect(attemptsTo(last, 7)).toBeGreaterThan(0);
    // Seven, the one that was killed and started again, and etcd twice.
    expect(new Set(results.pids).size).toBe(10);
    expect(await leftOf(results.pids)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("leaves no process behind on %s while one is frozen", async (signal, code) => {
    const { child, ended } = start("demo", "--only", "evenkeel", "--phase-seconds", "0.5", "--rate", "50");
    const output = await printed(child, "frozen (SIGSTOP)");
    const pids = Array.from(/processes ([\d, ]+)/.exec(output)?.[1]?.split(", ") ?? [], Number);
    expect(pids).toHaveLength(7);
    expect(pids.filter(isRunning).length).toBeGreaterThanOrEqual(5);
    child.kill(signal);
    expect((await ended).code).toBe(code);
    expect(await leftOf(pids)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("leaves no frozen process behind even when it is killed", async () => {
    const { child, ended } = start("demo", "--only", "evenkeel", "--phase-seconds", "0.5", "--rate", "50");
    const output = await printed(child, "frozen (SIGSTOP)");
    const pids = Array.from(/processes ([\d, ]+)/.exec(output)?.[1]?.split(", ") ?? [], Number);
    // The line comes before the process is frozen.
    await sleep(100);
    child.kill("SIGKILL");
    await ended;
    expect(await leftOf(pids)).toEqual([]);
  });
});

describe("evenkeel demo --chain", () => {
  it("loses no call that does not need C while C is frozen, and leaves no process", async () => {
    const { code, stdout, stderr } = await run(
      ...["demo", "--chain", "--json", "--phase-seconds", "3", "--rate", "100"],
    );
    expect(stderr).toBe("");
    const results = JSON.parse(stdout) as ChainResults;
    expect(results.phases.map(({ phase }) => phase)).toEqual(["healthy", "frozen", "back"]);
    expect(results.phases.flatMap(({ evenkeel }) => evenkeel.withoutC.failures)).toEqual([]);
    expect({ code, verdict: results.verdict }).toEqual({ code: 0, verdict: "passed" });
    const frozen = results.phases[1];
    const back = results.phases[2];
    if (frozen?.plain === undefined || back === undefined) throw new Error("a phase was not played");
    // The fault is real. What was asked for in its last second is answered afterwards.
    expect(frozen.evenkeel.withC.failed).toBeGreaterThan(80);
    expect(frozen.plain.withC.failed).toBeGreaterThan(80);
    expect(back.evenkeel.withC.failed).toBeLessThan(back.evenkeel.withC.calls);
    // One of A, two of B and two of C, for each chain.
    expect(new Set(results.pids).size).toBe(10);
    expect(await leftOf(results.pids)).toEqual([]);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGKILL", null],
  ] as const)("leaves no process behind on %s while C is frozen", async (signal, code) => {
    const { child, ended } = start(
      ...["demo", "--chain", "--only", "evenkeel", "--phase-seconds", "1", "--rate", "50"],
    );
    const output = await printed(child, "C frozen.");
    const pids = Array.from(/processes ([\d, ]+)/.exec(output)?.[1]?.split(", ") ?? [], Number);
    expect(pids.filter(isRunning)).toHaveLength(5);
    // The line comes before the processes are frozen.
    await sleep(100);
    child.kill(signal);
    expect((await ended).code).toBe(code);
    expect(await leftOf(pids)).toEqual([]);
  });
});

describe("evenkeel", () => {
  it("says what it can do, and its version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    expect(await run("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    const help = await run("--help");
    expect(help.code).toBe(0);
    expect(help.stdout).toContain("demo");
    expect((await run("demo", "--help")).stdout).toContain("--phase-seconds");
  });

  it.each([
    { args: [], says: "a command is missing" },
    { args: ["sail"], says: 'unknown command "sail"' },
    { args: ["--sail"], says: 'unknown option "--sail"' },
    { args: ["demo", "--sail"], says: "Unknown option '--sail'" },
    { args: ["demo", "sail"], says: "Unexpected argument 'sail'" },
    { args: ["demo", "--rate", "fast"], says: '--rate must be a number from 1 to 1000, got "fast"' },
    { args: ["demo", "--rate=-5"], says: 'got "-5"' },
    {
      args: ["demo", "--phase-seconds", "0"],
      says: '--phase-seconds must be a number from 0.5 to 600, got "0"',
    },
    { args: ["demo", "--registry", "consul"], says: '--registry must be "etcd" or "file", got "consul"' },
    { args: ["demo", "--chain", "--registry", "file"], says: "--registry is for the demo without --chain" },
    { args: ["demo", "--only", "others"], says: '--only must be "evenkeel", got "others"' },
  ])("exits with 2 for $args", async ({ args, says }) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(says);
  });
});
