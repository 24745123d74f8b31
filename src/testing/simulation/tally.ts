/** What became of the calls of a simulation that began in its measured part. */

export class Tally {
  readonly fromMs: number;
  readonly untilMs: number;
  /** Time to the answer of each call; of one that timed out, the timeout. Calls that failed at once are left out. */
  readonly latencies: number[] = [];
  calls = 0;
  failed = 0;
  readonly #nodes: number;
  /** Attempts to each node in each second. */
  readonly #sent: Int32Array;

  constructor(fromMs: number, untilMs: number, nodes: number) {
    this.fromMs = fromMs;
    this.untilMs = untilMs;
    this.#nodes = nodes;
    this.#sent = new Int32Array(nodes * Math.max(1, Math.ceil((untilMs - fromMs) / 1_000)));
  }

  isMeasured(startedAt: number): boolean {
    return startedAt >= this.fromMs && startedAt < this.untilMs;
  }

  /** All attempts of the measured part, hedges and retries included. */
  get attempts(): number {
    return this.#sent.reduce((sum, count) => sum + count, 0);
  }

  sent(node: number, at: number): void {
    if (!this.isMeasured(at)) return;
    const place = Math.floor((at - this.fromMs) / 1_000) * this.#nodes + node;
    this.#sent[place] = (this.#sent[place] as number) + 1;
  }

  ended(startedAt: number, latencyMs: number, end: "answered" | "timed out" | "failed"): void {
    if (!this.isMeasured(startedAt)) return;
    this.calls++;
    if (end !== "answered") this.failed++;
    if (end !== "failed") this.latencies.push(latencyMs);
  }

  /** A node's part of the attempts, from 0 to 1; between two seconds of the measured part, or in all of it. */
  share(node: number, fromSecond = 0, untilSecond: number = Number.POSITIVE_INFINITY): number {
    let own = 0;
    let all = 0;
    const end = Math.min(this.#sent.length, untilSecond * this.#nodes);
    for (let place = fromSecond * this.#nodes; place < end; place++) {
      const count = this.#sent[place] as number;
      all += count;
      if (place % this.#nodes === node) own += count;
    }
    return all === 0 ? 0 : own / all;
  }
}
