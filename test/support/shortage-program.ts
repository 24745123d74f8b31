/** A program that makes more calls at once than it may have descriptors for, then fewer, and reports how it went. */
import { Balancer } from "../../src/index.ts";
import { Recorder } from "./recorder.ts";

export interface ShortageReport {
  readonly calls: number;
  /** Calls that failed while descriptors were short, and how. */
  readonly failed: number;
  readonly errors: readonly string[];
  /** Attempts that ended as ignored because of the shortage, and with which code. */
  readonly shortages: number;
  readonly codes: readonly string[];
  /** Attempts that were held against a node. */
  readonly blamed: readonly string[];
  readonly ejections: number;
  readonly callsAfter: number;
  readonly failedAfter: number;
  readonly errorsAfter: readonly string[];
}

const addresses = process.argv.slice(2);
const callsAtOnce = 200;

async function callMany(balancer: Balancer, count: number): Promise<readonly string[]> {
  const results = await Promise.allSettled(
    Array.from({ length: count }, async () => {
      const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
      await body.text();
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    }),
  );
  return results.flatMap((result) => (result.status === "rejected" ? [String(result.reason)] : []));
}

const recorder = new Recorder("shortage");
const balancer = new Balancer({ name: "shortage", discovery: addresses });
await balancer.ready();
const rounds = 5;
const errors: string[] = [];
for (let round = 0; round < rounds; round++) errors.push(...(await callMany(balancer, callsAtOnce)));
const shortages = recorder.ends.filter(({ reason }) => reason === "shortage");
const errorsAfter: string[] = [];
const roundsAfter = 100;
for (let round = 0; round < roundsAfter; round++) errorsAfter.push(...(await callMany(balancer, 5)));
await balancer.close();
const report: ShortageReport = {
  calls: rounds * callsAtOnce,
  failed: errors.length,
  errors: [...new Set(errors)].slice(0, 3),
  shortages: shortages.length,
  codes: [...new Set(shortages.map(({ detail }) => detail))],
  blamed: recorder.ends.flatMap(({ outcome, reason, detail }) =>
    outcome === "failure" ? [`${reason} ${detail}`] : [],
  ),
  ejections: recorder.ejections,
  callsAfter: roundsAfter * 5,
  failedAfter: errorsAfter.length,
  errorsAfter: [...new Set(errorsAfter)].slice(0, 3),
};
console.log(JSON.stringify(report));
