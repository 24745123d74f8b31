/** A server that is asked for three times what it can do: how much of its work is for callers who still wait. */
import { once } from "node:events";
import { Agent, request } from "undici";
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, percent, printFigure } from "../support/figure.ts";
import { startProgram } from "./support/programs.ts";

const program = new URL("programs/busy.ts", import.meta.url);

interface Work {
  readonly done: number;
  /** Answered within the 300 ms that a caller waits. */
  readonly good: number;
}

/** 600 calls a second for 5 ms of work each; who has waited for too long closes its connection, and the next opens one. */
async function overload(...parameters: readonly string[]): Promise<Work> {
  const { child, address, exited } = await startProgram(program, ...parameters);
  const dispatcher = new Agent({ connections: 500 });
  let good = 0;
  await drive({ ratePerSecond: 600, seconds: 4 }, async () => {
    const { statusCode, body } = await request(address, { dispatcher, signal: AbortSignal.timeout(300) });
    await body.dump();
    if (statusCode === 200) good++;
  });
  const answer = once(child, "message");
  child.send("how often?");
  const [done] = (await answer) as [number];
  await dispatcher.destroy();
  child.kill("SIGKILL");
  await exited;
  return { done, good };
}

const wasted = ({ done, good }: Work): number => (done - good) / done;

test("an overloaded server that is protected works for callers who still wait", async () => {
  const plain = await overload();
  const guarded = await overload("protected");
  const figure = ({ done, good }: Work): string =>
    `${count(done - good)} of ${count(done)} (${percent(done - good, done)})`;
  printFigure("work for callers who had gone", `${figure(guarded)} protected`, `${figure(plain)} otherwise`);
  // Shares of what it did, as how much that is depends on what else the machine does.
  expect(plain.done).toBeGreaterThan(50);
  expect(guarded.done).toBeGreaterThan(50);
  expect(wasted(guarded)).toBeLessThan(0.5 * wasted(plain));
});
