/** A program that stops by signal: it finishes its calls and ends by itself; a second signal ends it at once. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";

const program = new URL("programs/serving.ts", import.meta.url);

async function start(...parameters: readonly string[]): Promise<{ child: ChildProcess; address: string }> {
  const child = fork(program, parameters, { execArgv: [] });
  const [address] = (await once(child, "message")) as [string];
  return { child, address };
}

test("SIGTERM: the call in flight is answered, and the process ends with 0", async () => {
  const { child, address } = await start();
  const called = once(child, "message");
  const answer = fetch(address).then((response) => response.text());
  await called;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  expect(await answer).toBe("ok");
  expect(await exit).toEqual([0, null]);
});

test("a second signal: the process ends at once, with the code that a shell expects", async () => {
  const { child, address } = await start("slow");
  const called = once(child, "message");
  const answer = fetch(address).then(
    () => "answered",
    () => "cut off",
  );
  await called;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(child.exitCode).toBe(null);
  child.kill("SIGTERM");
  expect(await exit).toEqual([143, null]);
  expect(await answer).toBe("cut off");
});
