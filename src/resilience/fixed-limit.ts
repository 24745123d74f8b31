/** A limit of calls at once that stays as it is: the adaptive limit's face without its judgement. */

export class FixedLimit {
  readonly limit: number;
  inflight = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get isFull(): boolean {
    return this.inflight >= this.limit;
  }

  /** Counts a call in; false, and nothing counted, at the limit. */
  begin(): boolean {
    if (this.isFull) return false;
    this.inflight++;
    return true;
  }

  /** Counts a call out. */
  end(): void {
    this.inflight--;
  }
}
