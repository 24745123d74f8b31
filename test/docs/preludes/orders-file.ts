/** Two HTTP servers, and `orders.yaml` with what docs/discovery.md shows as the content of the file. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Setup, startServers } from "../setup.ts";

export async function start(folder: string): Promise<Setup> {
  const page = readFileSync(new URL("../../../docs/discovery.md", import.meta.url), "utf8");
  const [, yaml] = /^```yaml\n(.*?)^```$/ms.exec(page) ?? [];
  if (yaml === undefined) throw new Error("docs/discovery.md shows no file any more");
  const setup = await startServers(["10.0.0.1:8080", "10.0.0.2:8080"]);
  let text = yaml;
  for (const [shown, real] of Object.entries(setup.addresses)) text = text.replaceAll(shown, real);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "orders.yaml"), text);
  return setup;
}
