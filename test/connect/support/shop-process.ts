/** Starts shop-program.ts. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface ShopProcess extends AsyncDisposable {
  readonly address: string;
  signal(name: NodeJS.Signals): void;
}

const program = fileURLToPath(new URL("shop-program.ts", import.meta.url));

export async function startShopProcess(port = 0): Promise<ShopProcess> {
  const child = spawn(process.execPath, [program, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  return {
    address: chunk.toString().trim(),
    signal: (name) => child.kill(name),
    async [Symbol.asyncDispose]() {
      // Of a frozen process too.
      child.kill("SIGKILL");
      await exited;
    },
  };
}
