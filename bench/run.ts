/** Runs all benches one after the other, prints their figures and writes them to `results.md`. */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { benchCalls } from "./calls.ts";
import { benchFaults } from "./faults.ts";
import { benchGrpcMemory } from "./grpc-memory.ts";
import { benchPicks } from "./picks.ts";
import { benchSnapshot } from "./snapshot.ts";

const head = [
  "# Bench results",
  "",
  "Written by `npm run bench`. Compare ratios and orders of magnitude: the machine is small, shared and noisy.",
  "",
  `Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown"}, ${new Date().toISOString().slice(0, 10)}.`,
].join("\n");
console.log(head);
const sections = [head];
for (const bench of [benchCalls, benchPicks, benchSnapshot, benchGrpcMemory, benchFaults]) {
  const section = await bench();
  console.log(`\n${section}`);
  sections.push(section);
}
writeFileSync(new URL("results.md", import.meta.url), `${sections.join("\n\n")}\n`);
