/** One blocking query for the instances of one service: what is asked, and which answers are believed. */
import { isDeepStrictEqual } from "node:util";
import type { Endpoint } from "../../core/endpoint.ts";
import type { AgentAnswer, ConsulAgent } from "./agent.ts";
import { endpointsOf } from "./entries.ts";
import type { ResolvedConsulOptions } from "./options.ts";

export interface HealthAnswer {
  /** X-Consul-Index. */
  readonly index: number;
  readonly endpoints: readonly Endpoint[];
  /**
   * Whether the server knew a leader, and so can tell that an instance is gone. Only an answer to index 0 says so for
   * sure: those after a wait come from Consul's streaming backend, which says false in any case (seen in 1.14).
   */
  readonly isLeaderKnown: boolean;
}

/** How much later than `wait` an answer may be, besides the server's own jitter. */
const lateMs = 10_000;

/**
 * Asks for the instances of one service.
 *
 * @param index 0 to be answered at once, else what the last answer said, to wait for something newer.
 * @throws Error for anything but an answer that can be believed.
 */
export async function queryHealth(
  agent: ConsulAgent,
  service: string,
  options: ResolvedConsulOptions,
  index: number,
  signal: AbortSignal,
): Promise<HealthAnswer> {
  const { tags, dc, filter, passingOnly, stale, waitMs } = options;
  const answer = await agent.call({
    method: "GET",
    path: `/v1/health/service/${encodeURIComponent(service)}`,
    query: {
      ...(index === 0 ? {} : { index: String(index), wait: `${Math.round(waitMs)}ms` }),
      ...(passingOnly ? { passing: "true" } : {}),
      ...(stale ? { stale: "true" } : {}),
      tag: tags,
      dc,
      filter,
    },
    // The server adds up to a sixteenth, so that its clients do not come back in step.
    answerMs: waitMs + waitMs / 16 + lateMs,
    signal,
  });
  const { status, text } = answer;
  if (status !== 200) throw new Error(`answered ${status} ${text.slice(0, 200).trim()}`.trim());
  const endpoints = endpointsOf(JSON.parse(text), options);
  if (endpoints.length === 0 && header(answer, "x-consul-results-filtered-by-acls") === "true") {
    throw new Error("the token may not read any instance (the results were filtered by ACLs)");
  }
  return {
    index: indexOf(answer),
    endpoints,
    isLeaderKnown: header(answer, "x-consul-knownleader") !== "false",
  };
}

/** Whether `next` misses an instance of `known`. */
export function isShrunken(known: readonly Endpoint[], next: readonly Endpoint[]): boolean {
  const addresses = new Set(next.map(({ address }) => address));
  return known.some(({ address }) => !addresses.has(address));
}

/** A query returns for many reasons, and only some of them are a change. */
export function isChanged(known: readonly Endpoint[] | undefined, next: readonly Endpoint[]): boolean {
  return !isDeepStrictEqual(known, next);
}

function indexOf(answer: AgentAnswer): number {
  const index = Number(header(answer, "x-consul-index") ?? Number.NaN);
  if (!Number.isSafeInteger(index) || index < 0) throw new Error("the answer has no X-Consul-Index");
  return index;
}

function header({ headers }: AgentAnswer, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.[0];
}
