/** The processes of one system's service, by number, and what can be done to them. */
import { type Backend, startBackends } from "../../testing/backend.ts";
import { isGone, killAtExit } from "./exit-guard.ts";
import { guardFrozen } from "./frozen-guard.ts";
import { slowFactor, workers, workMs } from "./options.ts";
import { warmUp } from "./warm-up.ts";

export interface ServiceNode {
  /** 1 for the first; the same number has the same fate in both systems. */
  readonly number: number;
  readonly backend: Backend;
  /** What is wrong with it; empty when nothing is. */
  readonly trouble: string;
}

/** Tells the system under test which addresses there are, as a registry would. */
export type Announce = (addresses: readonly string[]) => Promise<void>;

const behaviour = { workMs, workers };

export class Service {
  /** Every process that was ever started, those that are gone included. */
  readonly pids: number[] = [];
  #nodes: readonly ServiceNode[] = [];
  /** They run, and nobody knows of them yet. */
  #newcomers: readonly ServiceNode[] = [];
  #announce: Announce = async () => {};
  #release: () => void = () => {};

  /**
   * Newcomers are started with the others and announced later: the start of a process takes a core for a while, and
   * the cores are those that serve the calls.
   */
  static async start(count: number, newcomers: number): Promise<Service> {
    const service = new Service();
    const backends = await startBackends(count + newcomers, behaviour);
    const nodes = backends.map((backend, index) => service.#adopt(backend, index + 1));
    service.#nodes = nodes.slice(0, count);
    service.#newcomers = nodes.slice(count);
    await warmUp(backends.map(({ address }) => address));
    return service;
  }

  get nodes(): readonly ServiceNode[] {
    return this.#nodes;
  }

  get addresses(): readonly string[] {
    return this.#nodes.map(({ backend }) => backend.address);
  }

  /** From now on `announce` is told of all that join. A node that dies stays announced: nobody tells a registry. */
  announceTo(announce: Announce): void {
    this.#announce = announce;
  }

  async slowDown(number: number): Promise<void> {
    await this.#get(number).configure({ workMs: workMs * slowFactor });
    this.#mark(number, `${slowFactor}x slower`);
  }

  async fail(number: number): Promise<void> {
    await this.#get(number).configure({ status: 500 });
    this.#mark(number, "answers 500");
  }

  /** Ends slowness and failure. */
  async mend(number: number): Promise<void> {
    await this.#get(number).configure({ workMs, status: 200 });
    this.#mark(number, "");
  }

  async kill(number: number): Promise<void> {
    const backend = this.#get(number);
    this.#mark(number, "killed");
    await backend.kill();
    isGone(backend.pid);
  }

  freeze(number: number): void {
    const backend = this.#get(number);
    this.#release = guardFrozen(backend.pid);
    backend.freeze();
    this.#mark(number, "frozen");
  }

  thaw(number: number): void {
    this.#get(number).thaw();
    this.#release();
    this.#mark(number, "");
  }

  /** A killed node comes back: a new process at the old address. */
  async restart(number: number): Promise<void> {
    const backend = await this.#get(number).restart();
    this.#nodes = this.#nodes.map((node) => (node.number === number ? this.#adopt(backend, number) : node));
  }

  /** The newcomers are announced. */
  async join(): Promise<void> {
    this.#nodes = [...this.#nodes, ...this.#newcomers];
    this.#newcomers = [];
    await this.#announce(this.addresses);
  }

  async stop(): Promise<void> {
    const nodes = [...this.#nodes, ...this.#newcomers];
    await Promise.all(nodes.map(({ backend }) => backend.kill()));
    for (const { backend } of nodes) isGone(backend.pid);
  }

  #get(number: number): Backend {
    const node = this.#nodes.find((other) => other.number === number);
    if (node === undefined) throw new RangeError(`there is no node ${number}`);
    return node.backend;
  }

  #adopt(backend: Backend, number: number): ServiceNode {
    killAtExit(backend.pid);
    this.pids.push(backend.pid);
    return { number, backend, trouble: "" };
  }

  #mark(number: number, trouble: string): void {
    this.#nodes = this.#nodes.map((node) => (node.number === number ? { ...node, trouble } : node));
  }
}
