/** Shows a run as plain lines, for logs and pipes: who is called, each phase as it begins, a count every two seconds. */
import { phases } from "./phases.ts";
import type { Run } from "./run.ts";
import { integer } from "./table.ts";
import type { View } from "./view.ts";

const lineMs = 2_000;

export function showPlain(run: Run, write: (text: string) => void): View {
  const progress = (): void => {
    const seconds = Math.round((performance.now() - run.startedAt) / 1_000);
    const counts = run.lanes.map(
      ({ client, calls, failed }) => `${client.name} ${integer(calls)} calls, ${integer(failed)} failed`,
    );
    write(`  ${String(seconds).padStart(3)} s  ${counts.join("; ")}\n`);
  };
  for (const { client, service } of run.lanes) {
    write(`${client.name} calls processes ${service.pids.join(", ")}\n`);
  }
  const timer = setInterval(progress, lineMs);
  return {
    phaseBegan() {
      const { phase } = run;
      write(`Phase ${phases.indexOf(phase) + 1} of ${phases.length}: ${phase.title}. ${run.story}\n`);
    },
    close() {
      clearInterval(timer);
    },
  };
}
