/**
 * Ends a frozen process if the demo itself dies by SIGKILL while it is frozen.
 *
 * Service processes end by themselves when they lose the demo, but a stopped one cannot notice. A shell waits for a
 * line from us: if it comes, all is well; if our end of the pipe closes without one, it kills the frozen process.
 */
import { spawn } from "node:child_process";

const script = `trap '' HUP INT TERM; read -r line || kill -KILL "$1"`;

/** @returns a function to call once the process runs again or is gone. */
export function guardFrozen(pid: number): () => void {
  const shell = spawn("/bin/sh", ["-c", script, "sh", String(pid)], { stdio: ["pipe", "ignore", "ignore"] });
  // Without a shell there is no guard, and the demo is none the worse for it.
  shell.on("error", () => {});
  shell.stdin.on("error", () => {});
  shell.unref();
  return () => shell.stdin.end("released\n");
}
