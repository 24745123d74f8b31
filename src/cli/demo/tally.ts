/** What became of the calls of one system in one phase: a call belongs to the phase in which it was due. */

export interface FailureCount {
  readonly reason: string;
  readonly count: number;
  /** The message of the first one. */
  readonly sample: string;
}

/** Over all calls that ended, the failed ones with the time until they failed. */
export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export class Tally {
  calls = 0;
  failed = 0;
  readonly #latencies: number[] = [];
  readonly #failures: Map<string, FailureCount> = new Map();
  readonly #attempts: ReadonlyMap<string, number>;
  readonly #attemptsBefore: ReadonlyMap<string, number>;
  #attemptsAfter: ReadonlyMap<string, number> | undefined = undefined;

  /** @param attempts requests sent to each address so far: a live map. */
  constructor(attempts: ReadonlyMap<string, number>) {
    this.#attempts = attempts;
    this.#attemptsBefore = new Map(attempts);
  }

  started(): void {
    this.calls++;
  }

  succeeded(latencyMs: number): void {
    this.#latencies.push(latencyMs);
  }

  failedWith(error: unknown, latencyMs: number): void {
    this.failed++;
    this.#latencies.push(latencyMs);
    const { reason, message } = describe(error);
    const known = this.#failures.get(reason);
    this.#failures.set(reason, { reason, count: (known?.count ?? 0) + 1, sample: known?.sample ?? message });
  }

  /** The phase is over: requests sent from now on are not counted here. */
  end(): void {
    this.#attemptsAfter ??= new Map(this.#attempts);
  }

  get failures(): readonly FailureCount[] {
    return Array.from(this.#failures.values()).sort((a, b) => b.count - a.count);
  }

  get latency(): Latency {
    const sorted = Float64Array.from(this.#latencies).sort();
    return {
      p50Ms: nearestRank(sorted, 0.5),
      p99Ms: nearestRank(sorted, 0.99),
      maxMs: nearestRank(sorted, 1),
    };
  }

  /** Requests sent to this address within the phase. */
  attemptsTo(address: string): number {
    return (
      ((this.#attemptsAfter ?? this.#attempts).get(address) ?? 0) - (this.#attemptsBefore.get(address) ?? 0)
    );
  }

  /** The part of all requests that went to these addresses, from 0 to 1. */
  shareOf(addresses: readonly string[]): number {
    const sum = (all: Iterable<string>): number =>
      Array.from(all, (address) => this.attemptsTo(address)).reduce((total, part) => total + part, 0);
    const total = sum(this.#attempts.keys());
    return total === 0 ? 0 : sum(addresses) / total;
  }
}

/** The smallest value that at least this part of all values do not exceed; 0 for none. */
function nearestRank(sorted: Float64Array, part: number): number {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
}

function describe(error: unknown): { readonly reason: string; readonly message: string } {
  if (!(error instanceof Error)) return { reason: String(error), message: String(error) };
  // An AbortSignal's timeout has a number for a code.
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return { reason: code, message: error.message };
}
