/** One test of the contract of registries, and what all of them begin with. */
import type { Discovery, Instance } from "../../../src/core/contracts.ts";
import { Announcement } from "../support/announcement.ts";
import type { PutInstance, RunningSubject, Subject } from "../support/subject.ts";
import { WatchedSet } from "../support/watched-set.ts";

export interface RegistryTest {
  readonly name: string;
  /** Starts the subject's server, and rejects with what was not as it has to be. */
  run(subject: Subject): Promise<void>;
}

export interface Scene {
  readonly subject: RunningSubject;
  /** See `Subject.patience`: to be multiplied with whatever a test waits. */
  readonly patience: number;
  /** A client of ours, by default a new one, that watches the service from now on. */
  watch(client?: Discovery): WatchedSet;
  /** A process of ours, in its first or a later start, that announces itself from now on. */
  announce(put: PutInstance, start?: string, signal?: AbortSignal): Announcement;
}

/** A test with a server and its watchers, all of which are gone when it ends. */
export function registryTest(name: string, body: (scene: Scene) => Promise<void>): RegistryTest {
  return {
    name,
    run: async (subject) => {
      await using running = await subject.start();
      await using watchers = new AsyncDisposableStack();
      const end = new AbortController();
      watchers.defer(() => end.abort());
      await body({
        subject: running,
        patience: subject.patience ?? 1,
        watch: (client = running.source()) => watchers.use(new WatchedSet(client, running.service, subject)),
        announce: (put, start = "first", signal = undefined) => {
          const signals = signal === undefined ? [end.signal] : [signal, end.signal];
          const instance = announced(put, running.service, start);
          return new Announcement(running, subject, instance, AbortSignal.any(signals));
        },
      });
    },
  };
}

/**
 * The instance with this number, from 0. All have the same port, since address records of DNS know none, and nobody
 * listens there: the contract is about what is written, not about what answers.
 */
export function instance(number: number, change: Partial<PutInstance> = {}): PutInstance {
  return {
    address: `10.77.${Math.floor(number / 250)}.${(number % 250) + 1}:8080`,
    weight: 1 + (number % 3),
    zone: number % 2 === 0 ? "a" : "b",
    ...change,
  };
}

export function instances(count: number, from = 0): PutInstance[] {
  return Array.from({ length: count }, (_, index) => instance(from + index));
}

export function addresses(of: readonly PutInstance[]): string[] {
  return of.map(({ address }) => address);
}

export function assert(condition: boolean, complaint: string): asserts condition {
  if (!condition) throw new Error(complaint);
}

/** As a process of ours announces itself: the same in the words of `Registry`. */
function announced(put: PutInstance, service: string, start: string): Instance {
  return { ...put, address: `http://${put.address}`, service, id: `${put.address}:${start}` };
}
