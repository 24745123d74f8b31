/** A registry in memory that can be killed and wiped, and is wrong in one way if asked to: what the contract is tested on. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Discovery, DiscoveryContext, Instance, Registry } from "../../../src/core/contracts.ts";
import type { Endpoint } from "../../../src/core/endpoint.ts";
import type { PutInstance, RunningSubject, Subject, SubjectFacts } from "./subject.ts";

/** One way to be wrong, each of which a test of the contract has to find. */
export type Defect =
  | "misses removals"
  | "misses weights"
  | "misses every hundredth change"
  | "never tells of an empty set"
  | "says nothing before the first instance"
  | "is empty while the server is dead"
  | "says nothing of a dead server"
  | "says nothing when the server is back"
  | "stays with the old set after a wipe"
  | "gives up when the server is dead"
  | "goes on after its signal is aborted"
  | "chokes on bad values"
  | "keeps quiet about bad values"
  | "loses the token"
  | "empties the set while it flaps"
  | "takes out the successor"
  | "announces only once"
  | "never takes out"
  | "rejects without a server"
  | "forgets at a restart"
  | "has no lease";

const facts: SubjectFacts = {
  hasWeights: true,
  hasZones: true,
  tellsEmpty: true,
  pushesWithinMs: 0,
  takesRegistrations: true,
  hasTokens: true,
};

export function memorySubject(defect?: Defect): Subject {
  return {
    name: "in memory",
    needs: [],
    facts,
    patience: 0.01,
    start: async () => new MemoryRegistry(defect),
  };
}

/** How long an instance whose owner is gone stays. */
const leaseMs = 50;

class MemoryRegistry implements RunningSubject {
  readonly service: string = "orders";
  readonly #defect: Defect | undefined;
  /** By key: what a foreign client put has its address as key, what was registered its id. */
  #entries: Map<string, Endpoint> = new Map();
  #isAlive = true;
  #token = 0;
  #changes = 0;
  #listeners: Set<() => void> = new Set();

  constructor(defect: Defect | undefined) {
    this.#defect = defect;
  }

  source(): Discovery {
    return { watch: (context) => this.#watch(context) };
  }

  registry(): Registry {
    return { register: (instance, context) => this.#register(instance, context) };
  }

  async put(instances: readonly PutInstance[]): Promise<void> {
    for (const each of instances) {
      const known = this.#entries.get(each.address);
      if (++this.#changes % 100 === 0 && this.#has("misses every hundredth change")) continue;
      if (this.#has("misses weights") && known !== undefined) continue;
      this.#entries.set(each.address, each);
    }
    this.#tell();
  }

  async remove(addresses: readonly string[]): Promise<void> {
    if (!this.#has("misses removals")) for (const address of addresses) this.#entries.delete(address);
    this.#tell();
  }

  async putBad(): Promise<number> {
    this.#entries.set("bad", { address: "http://", weight: -1 });
    this.#tell();
    return 1;
  }

  async expireToken(): Promise<void> {
    this.#token++;
    this.#tell();
  }

  async kill(): Promise<void> {
    this.#isAlive = false;
    this.#tell();
  }

  async restart(): Promise<void> {
    if (this.#has("forgets at a restart")) this.#entries.clear();
    this.#isAlive = true;
    this.#tell();
  }

  async wipe(): Promise<void> {
    const old = this.#entries;
    await this.kill();
    await sleep(1);
    this.#entries = this.#has("stays with the old set after a wipe") ? old : new Map();
    await this.restart();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tell();
  }

  #has(defect: Defect): boolean {
    return this.#defect === defect;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Resolves at the next change, or when the signal is aborted. */
  #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      signal.removeEventListener("abort", done);
      this.#listeners.delete(done);
      resolve();
    };
    this.#listeners.add(done);
    if (!this.#has("goes on after its signal is aborted")) signal.addEventListener("abort", done);
    if (signal.aborted) done();
    return promise;
  }

  async *#watch({ signal, report }: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const token = this.#token;
    let seen: string | undefined;
    let failed = false;
    while (!signal.aborted) {
      const change = this.#change(signal);
      if (!this.#isAlive) {
        if (this.#has("is empty while the server is dead")) yield [];
        if (this.#has("gives up when the server is dead")) return;
        if (!failed && !this.#has("says nothing of a dead server")) report(new Error("the server is dead"));
        failed = true;
      } else if (this.#has("loses the token") && this.#token !== token) {
        report(new Error("the token has expired"));
      } else {
        const set = this.#read();
        const text = JSON.stringify(set);
        const isAgain = failed && !this.#has("says nothing when the server is back");
        failed = false;
        const isHeldBack =
          set.length === 0 &&
          (seen === undefined
            ? this.#has("says nothing before the first instance")
            : this.#has("never tells of an empty set"));
        if (this.#has("empties the set while it flaps") && seen !== undefined) yield [];
        if (!isHeldBack && (text !== seen || isAgain)) yield set;
        seen = text;
      }
      await change;
    }
  }

  #read(): readonly Endpoint[] {
    const set = new Map<string, Endpoint>();
    for (const endpoint of this.#entries.values()) set.set(endpoint.address.replace("http://", ""), endpoint);
    const isBad = this.#entries.has("bad");
    if (isBad && this.#has("chokes on bad values")) throw new Error("a bad value");
    const all = [...set.values()];
    return this.#has("keeps quiet about bad values") ? all.filter(({ weight }) => weight !== -1) : all;
  }

  async #register(instance: Instance, context: DiscoveryContext): Promise<AsyncDisposable> {
    const { signal, report } = context;
    const { address, weight, zone, id } = instance;
    const isForgetful =
      this.#has("announces only once") ||
      this.#has("forgets at a restart") ||
      this.#has("takes out the successor");
    let isWanted = true;
    const announce = (): void => {
      if (!isWanted || !this.#isAlive || this.#entries.has(id)) return;
      this.#entries.set(id, { address, weight, zone });
      this.#tell();
    };
    if (!this.#isAlive) {
      if (this.#has("rejects without a server")) throw new Error("the server is dead");
      report(new Error("the server is dead"));
      while (!this.#isAlive) await this.#change(signal);
    }
    announce();
    const onChange = (): void => {
      if (!this.#isAlive) report(new Error("the server is dead"));
      if (!isForgetful) announce();
    };
    this.#listeners.add(onChange);
    const end = (): void => {
      isWanted = false;
      this.#listeners.delete(onChange);
    };
    const takeOut = (): void => {
      if (this.#has("never takes out")) return;
      this.#entries.delete(id);
      if (this.#has("takes out the successor")) {
        for (const [key, entry] of this.#entries) if (entry.address === address) this.#entries.delete(key);
      }
      this.#tell();
    };
    signal.addEventListener("abort", () => {
      end();
      if (!this.#has("has no lease")) setTimeout(takeOut, leaseMs);
    });
    return {
      async [Symbol.asyncDispose]() {
        end();
        takeOut();
      },
    };
  }
}
