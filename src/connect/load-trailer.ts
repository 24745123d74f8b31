/** Load reports as nodes send them: with gRPC in a trailer, with Connect's own protocol in a header. */
import type { IncomingHttpHeaders } from "node:http";
import { type LoadReport, loadReportHeader, parseLoadReport } from "../core/load-report.ts";
import type { Node } from "../core/node.ts";
import { decodeLoadReport, loadReportTrailer } from "../core/orca.ts";

/** @param headers of a good answer: a node that fails fast is idle, and would draw calls with it. */
export function noteLoad(
  node: Node,
  headers: IncomingHttpHeaders | undefined,
  trailers: IncomingHttpHeaders | undefined,
  now: number,
): void {
  const inTrailer = trailers?.[loadReportTrailer];
  const inHeader = headers?.[loadReportHeader];
  if (inTrailer === undefined && inHeader === undefined && node.report === undefined) return;
  const report: LoadReport | undefined =
    typeof inTrailer === "string"
      ? decodeLoadReport(Buffer.from(inTrailer, "base64"))
      : parseLoadReport(inHeader);
  node.reported(report, now);
}
