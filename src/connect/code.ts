/** The codes of gRPC and Connect, which are the same numbers. Connect's own enumeration is in a package that may not be there yet. */

export const Code = {
  Canceled: 1,
  Unknown: 2,
  DeadlineExceeded: 4,
  ResourceExhausted: 8,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
} as const;

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(Code).map(([name, number]) => [number, name]),
);

/** `Unavailable`; a number for a code that nothing is decided by here. */
export function nameOfCode(code: number): string {
  return names.get(code) ?? String(code);
}
