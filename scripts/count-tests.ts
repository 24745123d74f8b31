/**
 * Prints how many tests passed, failed and were skipped, from the JSON report of a test run.
 *
 * Fails when one failed or none ran. A file that broke before its tests could run is one failure. The report is an
 * empty file when the run did not get as far as writing it.
 */
import { readFileSync } from "node:fs";

interface Report {
  readonly numTotalTests: number;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

const nothing: Report = { numTotalTests: 0, numPassedTests: 0, numFailedTests: 0, testResults: [] };

const text = readFileSync(process.argv[2] ?? "", "utf8");
const report = text === "" ? nothing : (JSON.parse(text) as Report);
const passed = report.numPassedTests;
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === "failed" && !assertionResults.some((result) => result.status === "failed"),
);
const failed = report.numFailedTests + brokenFiles.length;
const skipped = report.numTotalTests - passed - report.numFailedTests;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
if (failed > 0 || passed === 0) process.exitCode = 1;
