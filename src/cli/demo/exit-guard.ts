/**
 * Leaves nothing behind, however the demo ends: no process, no file, no hidden cursor.
 *
 * Everything hangs on Node's "exit" event, which comes after the last line as well as after an uncaught error, and
 * which the signals are turned into. What runs then has to be synchronous. SIGKILL ends frozen processes too.
 */
import { rmSync } from "node:fs";

/** 128 + the signal's number, as shells report it. */
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
/** What a program exits with when the reader of its output has gone (128 + SIGPIPE). */
const brokenPipe = 141;

const pids = new Set<number>();
const folders = new Set<string>();
const restorers = new Set<() => void>();

/** Arms the guard. Called once, before anything is started. */
export function leaveNothingBehind(): void {
  process.once("exit", cleanUp);
  for (const [signal, code] of Object.entries(exitCodes)) process.once(signal, () => process.exit(code));
  // The terminal or the reader of a pipe is gone: nobody watches any more.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(brokenPipe));
}

/** This process is killed at the end, if it still runs. */
export function killAtExit(pid: number): void {
  pids.add(pid);
}

/** This process is gone; its number may soon be another's. */
export function isGone(pid: number): void {
  pids.delete(pid);
}

export function removeAtExit(folder: string): void {
  folders.add(folder);
}

/** @returns a function that restores now, and no more at the end. */
export function restoreAtExit(restore: () => void): () => void {
  restorers.add(restore);
  return () => {
    if (restorers.delete(restore)) restore();
  };
}

function cleanUp(): void {
  for (const pid of pids) attempt(() => process.kill(pid, "SIGKILL"));
  for (const folder of folders) attempt(() => rmSync(folder, { recursive: true, force: true }));
  for (const restore of restorers) attempt(restore);
}

/** One that fails must not keep the others from their turn. */
function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // A process that has ended, a terminal that is gone: then there is nothing to do.
  }
}
