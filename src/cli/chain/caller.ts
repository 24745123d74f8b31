/** What a layer calls the one below it through. */
import type { CallerStats } from "./messages.ts";

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface Caller {
  readonly stats: CallerStats;
  /** One GET, to the end of its body. Rejects when there was no answer. */
  call(path: string): Promise<Answer>;
  /** Ends everything. */
  close(): Promise<void>;
}
