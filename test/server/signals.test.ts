/** A program that stops by signal: it finishes its calls and ends by itself; a second signal ends it at once. */
import { once } from "node:events";
import { expect, test } from "vitest";
import { startProgram } from "./support/programs.ts";

const program = new URL("programs/serving.ts", import.meta.url);

test("SIGTERM: the call in flight is answered, and the process ends with 0", async () => {
  const { child, address, exited } = await startProgram(program);
  const called = once(child, "message");
  const answer = fetch(address).then((response) => response.text());
  await called;
  child.kill("SIGTERM");
  expect(await answer).toBe("ok");
  expect(await exited).toEqual([0, null]);
});

test("a second signal: the process ends at once, with the code that a shell expects", async () => {
  const { child, address, exited } = await startProgram(program, "slow");
  const called = once(child, "message");
  const answer = fetch(address).then(
    () => "answered",
    () => "cut off",
  );
  await called;
  child.kill("SIGTERM");
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(child.exitCode).toBe(null);
  child.kill("SIGTERM");
  expect(await exited).toEqual([143, null]);
  expect(await answer).toBe("cut off");
});
