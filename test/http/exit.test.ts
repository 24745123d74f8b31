/** What a balancer keeps alive: nothing once it is closed, the process while a call is awaited. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startServer } from "./support/server.ts";

const limitMs = 10_000;

/** Runs a program to its own end. @throws when it has not ended by itself within the limit. */
async function run(program: string, ...args: string[]): Promise<{ output: string; tookMs: number }> {
  const path = fileURLToPath(new URL(`./programs/${program}.ts`, import.meta.url));
  const startedAt = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, [path, ...args], { timeout: limitMs });
  return { output: stdout.trim(), tookMs: performance.now() - startedAt };
}

test("a closed balancer leaves no handle", async () => {
  await using server = await startServer();
  const { output, tookMs } = await run("use-and-close", server.address);
  expect(output).toBe("closed");
  // Starting takes a good second on a busy machine; any timer or kept connection would take 4 s and more.
  expect(tookMs).toBeLessThan(4_000);
});

test("a call that waits between attempts keeps the process alive", async () => {
  expect((await run("only-backoff")).output).toBe("ERR_NO_NODE");
});

test("a call that waits for discovery keeps the process alive", async () => {
  expect((await run("only-discovery")).output).toBe("ERR_NO_NODE");
});

test("a balancer that is left open and idle lets the process end, as undici's Pool does", async () => {
  await using server = await startServer();
  const pool = await run("idle", "pool", server.address);
  const balancer = await run("idle", "balancer", server.address);
  expect([pool.output, balancer.output]).toEqual(["left open", "left open"]);
  expect(balancer.tookMs).toBeLessThan(pool.tookMs + 2_000);
});
