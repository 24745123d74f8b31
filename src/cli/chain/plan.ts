/** The chain as it is set up everywhere: in the demo, in the tests and in the figures of docs/resilience.md. */
import type { CallSettings, LayerBehaviour } from "./messages.ts";

/** The header in which a call says how long it has left. */
export const deadlineHeader = "x-timeout-ms";

/** A call at A fails after this. Over plain undici it is the timeout of each layer, as nobody tells the next one. */
export const deadlineMs = 1_000;

/** Processes of each layer: what is called has two, so that there is something to choose. */
export const processes = { a: 1, b: 2, c: 2 } as const;

/** A only calls B. B takes 5 ms of its own; C can do 800 calls a second, of which 250 are asked for. */
export const behaviours: Readonly<Record<keyof typeof processes, LayerBehaviour>> = {
  a: { workMs: 0, workers: Number.MAX_SAFE_INTEGER, status: 0 },
  b: { workMs: 5, workers: 64, status: 0 },
  c: { workMs: 10, workers: 4, status: 0 },
};

/**
 * The least that the limit of each layer may find. What hangs in a layer because of the one below it takes places there and
 * is no queue: there have to be more places than that. In B it is the 30 calls that a process may have under way to C or
 * waiting for it, in A those of both processes of B. C has nobody below.
 */
export const leastLimits: Readonly<Record<keyof typeof processes, number>> = { a: 200, b: 40, c: 10 };

/** How A calls B: with no more calls than there are connections to it, so that none waits for one. */
export const callsOfA: CallSettings = {
  totalMs: deadlineMs,
  connections: 50,
  attempts: 1,
  retriesPerSecond: 10,
  breaker: true,
  inflight: 100,
  queue: 200,
};

/**
 * How each process of B calls C: of 125 calls a second that take 10 ms, one or two are under way. With 15 there is ample
 * room, and a C that hangs ties down no more than that. What comes in one go after a pause of the process waits a little.
 */
export const callsOfB: CallSettings = {
  ...callsOfA,
  inflight: 15,
  queue: 15,
  // Ten for both processes together.
  retriesPerSecond: 10 / processes.b,
};
/** Longer than a pause lasts, and a quarter of what a call has. */
export const queueMs = 250;
/** For how long a turn of a server's event loop takes in calls: what has waited for so long has still half of its time. */
export const turnMs: number = deadlineMs / 2;
