/** What the contract test of registries runs over: one source, and the real server that it reads from. */
import type { Discovery, Registry } from "../../../src/core/contracts.ts";

/** What a foreign client wrote into the registry. */
export interface PutInstance {
  /** As the registry's format has it: `10.0.0.1:8080`, or with a scheme. */
  readonly address: string;
  readonly weight?: number;
  readonly zone?: string;
}

/** A source of ours over one kind of server and one format. */
export interface Subject {
  /** For the test's name: `etcd 3.7, etcd's naming format`. */
  readonly name: string;
  /** The servers that it needs, by the names of `findServer`. */
  readonly needs: readonly string[];
  readonly facts: SubjectFacts;
  /** Which part of the usual limits a test waits before it fails. Default 1, which suits real servers. */
  readonly patience?: number;
  /** Starts a server of its own. */
  start(): Promise<RunningSubject>;
}

/** What a registry and its format can do; tests of what they cannot are not declared. */
export interface SubjectFacts {
  readonly hasWeights: boolean;
  readonly hasZones: boolean;
  /** False for a registry that knows no end of the last instance, such as DNS: the set is then kept. */
  readonly tellsEmpty: boolean;
  /**
   * How long after a change the server itself tells of it, at most: about nothing, r-nacos' way of merging what comes
   * within half a second, or for a server that is asked at intervals undefined.
   */
  readonly pushesWithinMs: number | undefined;
  /** Whether `registry()` is there. */
  readonly takesRegistrations: boolean;
  /** Whether `expireToken` is there. */
  readonly hasTokens: boolean;
}

export interface RunningSubject extends AsyncDisposable {
  readonly service: string;
  /** A new client of ours. */
  source(): Discovery;
  registry(): Registry | undefined;
  /** Adds or changes instances with a foreign client or a raw API; the others stay. */
  put(instances: readonly PutInstance[]): Promise<void>;
  remove(addresses: readonly string[]): Promise<void>;
  /** Writes values that are no endpoints, and says how many. */
  putBad(): Promise<number>;
  /** Makes the token that our clients hold one that the server refuses. */
  expireToken?(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Resolves when the server serves again, with what it had; what it does not keep, its writers have put again. */
  restart(): Promise<void>;
  /** Killed and started with nothing in it. */
  wipe(): Promise<void>;
}
