/** One registered instance, kept registered until it is disposed of. */
import type { Clock, Timer } from "../../core/clock.ts";
import type { DiscoveryContext, Instance } from "../../core/contracts.ts";
import type { Random } from "../../core/random.ts";
import type { AgentCall, ConsulAgent } from "./agent.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { ResolvedConsulOptions } from "./options.ts";
import { checkIdOf, serviceDefinition } from "./service-definition.ts";

/** An agent answers from memory. One that takes longer is as good as gone, and a third of the TTL is the limit anyway. */
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
  readonly #stop: AbortController = new AbortController();
  /** Ends the heartbeats. */
  readonly #halt = (): void => {
    this.#stop.abort();
    this.#timer?.cancel();
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
  async start(): Promise<void> {
    const { signal } = this.#context;
    signal.addEventListener("abort", this.#halt);
    const giveUp = (): void => this.#first.reject(signal.reason);
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) {
      this.#halt();
      giveUp();
    } else this.#step = this.#take();
    try {
      await this.#first.promise;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** Takes the instance out again, within 3 s; what goes wrong then is reported and not thrown. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#halt();
    this.#context.signal.removeEventListener("abort", this.#halt);
    // A registration under way, arriving after the deregistration, would undo it.
    await this.#step;
    try {
      const { id } = this.#instance;
      const path = `/v1/agent/service/deregister/${encodeURIComponent(id)}`;
      const signal = AbortSignal.timeout(deregisterMs);
      const { status, text } = await this.#agent.call({ method: "PUT", path, answerMs, signal });
      if (status !== 200 && status !== 404 && !isUnknown(status, text))
        throw new Error(refusal(status, text));
    } catch (error) {
      this.#report("could not be deregistered", error);
    } finally {
      this.#use[Symbol.dispose]();
    }
  }

  async #take(): Promise<void> {
    let { step } = this.#heartbeat;
    const { signal } = this.#stop;
    try {
      const token = await this.#agent.token();
      // The agent tells the servers of the instance, and of its end, with the token that it was registered with.
      if (token !== this.#token) step = "register";
      const { status, text } = await this.#agent.call({
        method: "PUT",
        ...(step === "register" ? this.#registerCall() : this.#passCall()),
        token,
        answerMs,
        signal,
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
      if (signal.aborted) return;
      this.#report(step === "register" ? "could not be registered" : "could not send its heartbeat", error);
      this.#heartbeat.failed(this.#clock.now());
    }
    if (signal.aborted) return;
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
    const { service, id } = this.#instance;
    const why = cause instanceof Error ? cause.message : String(cause);
    this.#context.report(new Error(`${this.#agent.name}: ${service}: ${id} ${what}: ${why}`, { cause }));
  }
}

/** Agents before 1.12 say so with a status of 500. */
function isUnknown(status: number, text: string): boolean {
  return status === 404 || (status === 500 && /unknown (check|service)/i.test(text));
}

function refusal(status: number, text: string): string {
  return `answered ${status} ${text.slice(0, 200).trim()}`.trim();
}
