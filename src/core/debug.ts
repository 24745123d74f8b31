/**
 * `NODE_DEBUG=evenkeel`: what happens inside, as one readable line for each event on stderr.
 *
 * It listens to the events only when it is asked for, so that nobody else pays for it. Queries are left out of
 * paths, as they may hold what does not belong into a log.
 */
import { debuglog } from "node:util";
import { describeError } from "./errors.ts";
import {
  attemptEnds,
  attemptStarts,
  discoveryErrors,
  discoveryUpdates,
  type Events,
  limitErrors,
  nodeStates,
  registrationErrors,
  registrationStates,
  rejects,
  retries,
  sheds,
} from "./events.ts";

/** Its attempts tell of a call what there is to read. */
type LoggedEvents = Omit<Events, "evenkeel:call:start" | "evenkeel:call:end">;

type Lines = { readonly [Name in keyof LoggedEvents]: (event: LoggedEvents[Name]) => string };

/** What each event looks like; the service comes first. */
const lines: Lines = {
  "evenkeel:attempt:start": ({ address, method, path, attempt }) =>
    `${method} ${withoutQuery(path)}: attempt ${attempt} to ${address}`,
  "evenkeel:attempt:end": ({ address, method, path, attempt, outcome, reason, detail, durationMs }) => {
    const why = outcome === "success" ? "" : ` (${detail === "" ? reason : `${reason}: ${detail}`})`;
    const what = `${method} ${withoutQuery(path)}: attempt ${attempt} to ${address}`;
    return `${what} ended after ${durationMs.toFixed(1)} ms: ${outcome}${why}`;
  },
  "evenkeel:node:state": ({ address, from, to, reason }) =>
    `${address}: ${from} -> ${to}${reason === "" ? "" : ` (${reason})`}`,
  "evenkeel:discovery:update": ({ endpoints, added, removed, changed }) =>
    `discovery: ${endpoints} endpoints, ${added} added, ${removed} removed, ${changed} changed`,
  "evenkeel:discovery:error": ({ error }) => `discovery: ${textOf(error)}`,
  "evenkeel:registration:state": ({ address, id, state }) => `${address} is ${state} as ${id}`,
  "evenkeel:registration:error": ({ address, error }) =>
    `registration${address === undefined ? "" : ` of ${address}`}: ${textOf(error)}`,
  "evenkeel:retry": ({ address, attempt, delayMs, reason, detail }) =>
    `attempt ${attempt} follows in ${delayMs.toFixed(1)} ms, as ${address} failed (${detail === "" ? reason : `${reason}: ${detail}`})`,
  "evenkeel:reject": ({ code, message }) => `refused, ${code}: ${message}`,
  "evenkeel:limit:error": ({ error }) => `the shared rate limit could not be asked: ${textOf(error)}`,
  "evenkeel:shed": ({ method, path, priority, reason, inflight, limit }) =>
    `${method} ${withoutQuery(path)}, ${priority}, is shed (${reason}): ${inflight} in flight of ${limit}`,
};

const channels = {
  "evenkeel:attempt:start": attemptStarts,
  "evenkeel:attempt:end": attemptEnds,
  "evenkeel:node:state": nodeStates,
  "evenkeel:discovery:update": discoveryUpdates,
  "evenkeel:discovery:error": discoveryErrors,
  "evenkeel:registration:state": registrationStates,
  "evenkeel:registration:error": registrationErrors,
  "evenkeel:retry": retries,
  "evenkeel:reject": rejects,
  "evenkeel:limit:error": limitErrors,
  "evenkeel:shed": sheds,
} as const;

/** The line for one event: without line breaks, whatever a path or an error message holds. */
export function lineOf<Name extends keyof LoggedEvents>(name: Name, event: LoggedEvents[Name]): string {
  return `${event.service}: ${lines[name](event)}`.replaceAll(/\p{Cc}|\p{Zl}|\p{Zp}/gu, " ");
}

let isEnabled: boolean | undefined;

/** Prints the events from now on if `NODE_DEBUG` names evenkeel. Called by each cluster; only the first call counts. */
export function enableDebugLog(): void {
  if (isEnabled !== undefined) return;
  const log = debuglog("evenkeel");
  isEnabled = log.enabled;
  if (!isEnabled) return;
  for (const name of Object.keys(channels) as (keyof LoggedEvents)[])
    subscribe(name, (line) => log("%s", line));
}

function subscribe<Name extends keyof LoggedEvents>(name: Name, print: (line: string) => void): void {
  channels[name].subscribe((event) => print(lineOf(name, event as LoggedEvents[Name])));
}

function withoutQuery(path: string): string {
  const end = path.indexOf("?");
  return end < 0 ? path : path.slice(0, end);
}

/** A message says more than its code where a person reads it. */
function textOf(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : describeError(error);
}
