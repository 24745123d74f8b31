/**
 * How a deadline is told to the next service: as what is left of it, so that no two clocks have to agree.
 *
 * gRPC's header `grpc-timeout` has a format of its own, at most eight digits and a unit; any other header holds whole
 * milliseconds, as Envoy's `x-envoy-expected-rq-timeout-ms` does.
 */

const grpcHeader = "grpc-timeout";
/** The called side is told a little less, so that its own "too late" is back before we stop listening. */
const returnShare = 0.05;
const longestReturnMs = 50;

const grpcUnits: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** What the header says when `leftMs` are left here: at least 1 ms, as 0 would be refused without having been tried. */
export function deadlineHeaderValue(name: string, leftMs: number): string {
  const toldMs = Math.max(1, Math.floor(leftMs - Math.min(longestReturnMs, leftMs * returnShare)));
  if (name !== grpcHeader) return String(toldMs);
  return toldMs < 1e8 ? `${toldMs}m` : `${Math.floor(toldMs / 1_000)}S`;
}

/** Milliseconds, from 0; undefined for a value that is none: a deadline that cannot be read is no deadline. */
export function parseDeadlineHeader(name: string, value: string): number | undefined {
  if (name !== grpcHeader) return /^\d{1,10}$/.test(value) ? Number(value) : undefined;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  return Number(digits) * (grpcUnits[unit] as number);
}
