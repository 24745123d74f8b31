/** One registered instance, kept registered until it is disposed of. */
import type { Clock, Timer } from "../../core/clock.ts";
import type { DiscoveryContext, Instance } from "../../core/contracts.ts";
import type { Random } from "../../core/random.ts";
import type { AgentCall, ConsulAgent } from "./agent.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { ResolvedConsulOptions } from "./options.ts";
import { checkIdOf, serviceDefinition } from "./service-definition.ts";

/** An agent answers from memory. One that takes longer is as good as gone. */
const answerMs = 3_000;
/** How long the end of a process waits for its deregistration (discovery.md, self-registration). */
const deregisterMs = 3_000;

export class ConsulRegistration implements AsyncDisposable {
  readonly #agent: ConsulAgent;
  readonly #use: Disposable;
  readonly #instance: Instance;
  readonly #definition: Readonly<Record<string, unknown>>;
  readonly #context: DiscoveryContext;
  readonly #clock: Clock;
  readonly #heartbeat: Heartbeat;
  /** Ends the heartbeats. */
  readonly #stop: AbortController = new AbortController();
  /** When the signal aborts: takes nothing out, and waits for nothing. */
  readonly #letGo = (): void => {
    this.#halt();
    this.#first.reject(this.#context.signal.reason);
    this.#use[Symbol.dispose]();
  };
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers();
  /** What it was registered with. */
  #token: string | undefined;
  #timer: Timer | undefined;
  /** The step that is being taken. */
  #step: Promise<void> = Promise.resolve();
  #ended: Promise<void> | undefined;

  /** @throws RangeError for an instance that cannot be registered. */
  constructor(
    agent: ConsulAgent,
    instance: Instance,
    options: ResolvedConsulOptions,
    context: DiscoveryContext,
    chance: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#definition = serviceDefinition(instance, options);
    this.#agent = agent;
    this.#use = agent.use();
    this.#instance = instance;
    this.#context = context;
    this.#clock = chance.clock;
    this.#heartbeat = new Heartbeat(options.ttlMs, chance.random, chance.clock.now());
  }

  /**
   * Registers, and resolves once that is done, however long the agent cannot be reached.
   *
   * @throws what the signal was aborted with.
   */
  start(): Promise<void> {
    const { signal } = this.#context;
    signal.addEventListener("abort", this.#letGo);
    if (signal.aborted) this.#letGo();
    else this.#step = this.#take();
    return this.#first.promise;
  }

  /** Takes the instance out again. @throws Error when that could not be done within 3 s. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#halt();
    // A registration under way, arriving after the deregistration, would undo it.
    await this.#step;
    const { signal } = this.#context;
    if (signal.aborted) return;
    try {
      const { status, text } = await this.#agent.call({
        method: "PUT",
        path: `/v1/agent/service/deregister/${encodeURIComponent(this.#instance.id)}`,
        answerMs,
        signal: AbortSignal.any([signal, AbortSignal.timeout(deregisterMs)]),
      });
      if (status !== 200 && !isUnknown(status, text)) throw new Error(refusal(status, text));
    } catch (error) {
      if (!signal.aborted) throw this.#named("could not be deregistered", error);
    } finally {
      signal.removeEventListener("abort", this.#letGo);
      this.#use[Symbol.dispose]();
    }
  }

  #halt(): void {
    this.#stop.abort();
    this.#timer?.cancel();
  }

  async #take(): Promise<void> {
    let { step } = this.#heartbeat;
    const stopped = this.#stop.signal;
    try {
      const token = await this.#agent.token(stopped);
      if (stopped.aborted) return;
      // The agent tells the servers of the instance, and of its end, with the token that it was registered with.
      if (token !== this.#token) step = "register";
      const { status, text } = await this.#agent.call({
        method: "PUT",
        ...(step === "register" ? this.#registerCall() : this.#passCall()),
        token,
        answerMs,
        // What the agent may have read already is waited for, unless nobody is to wait for anything.
        signal: step === "register" ? this.#context.signal : stopped,
      });
      if (status === 200 && step === "register") this.#token = token;
      if (status === 200) {
        this.#heartbeat.succeeded(this.#clock.now());
        this.#first.resolve();
      } else if (step === "pass" && isUnknown(status, text)) {
        this.#report("is not known any more, and is registered again", new Error(refusal(status, text)));
        this.#heartbeat.missing(this.#clock.now());
      } else throw new Error(refusal(status, text));
    } catch (error) {
      if (stopped.aborted) return;
      this.#report(step === "register" ? "could not be registered" : "could not send its heartbeat", error);
      this.#heartbeat.failed(this.#clock.now());
    }
    if (stopped.aborted) return;
    this.#timer = this.#clock.schedule(() => {
      this.#step = this.#take();
    }, this.#heartbeat.dueAt - this.#clock.now());
  }

  #registerCall(): Pick<AgentCall, "path" | "query" | "body"> {
    const query = { "replace-existing-checks": "true" };
    return { path: "/v1/agent/service/register", query, body: this.#definition };
  }

  #passCall(): Pick<AgentCall, "path"> {
    return { path: `/v1/agent/check/pass/${encodeURIComponent(checkIdOf(this.#instance))}` };
  }

  #report(what: string, cause: unknown): void {
    this.#context.report(this.#named(what, cause));
  }

  #named(what: string, cause: unknown): Error {
    const { service, id } = this.#instance;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new Error(`${this.#agent.name}: ${service}: ${id} ${what}: ${why}`, { cause });
  }
}

/** Agents before 1.12 say so with a status of 500, and without access control lists in other words. */
function isUnknown(status: number, text: string): boolean {
  if (status === 404) return true;
  return status === 500 && /unknown (check|service)|does not have associated TTL/i.test(text);
}

function refusal(status: number, text: string): string {
  return `answered ${status} ${text.slice(0, 200).trim()}`.trim();
}
