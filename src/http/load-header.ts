/** Load reports in response headers, passed on to the node that sent them. */
import type { IncomingHttpHeaders } from "node:http";
import type { Clock } from "../core/clock.ts";
import { loadReportHeader, parseLoadReport } from "../core/load-report.ts";
import type { Node } from "../core/node.ts";

/**
 * @param headers the final ones of a good answer. What comes with a failure is of no use: a node that fails fast is
 *   idle, and would draw calls with it.
 */
export function noteLoad(node: Node, headers: IncomingHttpHeaders, clock: Clock): void {
  const header = headers[loadReportHeader];
  if (header === undefined && node.report === undefined) return;
  node.reported(parseLoadReport(header), clock.now());
}
