/** Tests of the Consul source and registry against an agent in the same process, in virtual time. */
import { Dispatcher } from "undici";
import { describe, expect, it } from "vitest";
import type { Endpoint } from "../../core/endpoint.ts";
import { createSeededRandom } from "../../core/random.ts";
import { discoveryContract } from "../../testing/discovery-contract.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type ConsulOptions, resolveConsulOptions } from "./options.ts";
import { ConsulSource } from "./source.ts";

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

interface Call {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly headersTimeout: number;
  readonly body: unknown;
  answer(answer: Answer): void;
  fail(error: Error): void;
}

/** Requests wait in `calls` until the test, or `onCall`, answers them. */
class FakeAgent extends Dispatcher {
  readonly calls: Call[] = [];
  readonly open: Set<Call> = new Set();
  onCall: ((call: Call) => void) | undefined;

  override dispatch(
    options: Dispatcher.DispatchOptions & { readonly origin?: unknown; readonly headersTimeout?: number },
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    const end = (finish: () => void): void => {
      if (this.open.delete(call)) finish();
    };
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: null,
      rawTrailers: null,
      pause: () => {},
      resume: () => {},
      abort: (reason: Error) => end(() => handler.onResponseError?.(controller, reason)),
    };
    const call: Call = {
      method: options.method,
      url: new URL(options.path, String(options.origin)),
      headers: options.headers as Readonly<Record<string, string>>,
      headersTimeout: options.headersTimeout ?? 0,
      body: typeof options.body === "string" ? JSON.parse(options.body) : undefined,
      answer: ({ status = 200, headers = {}, body = "" }) =>
        end(() => {
          const text = typeof body === "string" ? body : JSON.stringify(body);
          handler.onResponseStart?.(controller, status, headers, "");
          handler.onResponseData?.(controller, Buffer.from(text));
          handler.onResponseEnd?.(controller, {});
        }),
      fail: (error) => end(() => handler.onResponseError?.(controller, error)),
    };
    this.calls.push(call);
    this.open.add(call);
    handler.onRequestStart?.(controller, undefined);
    if (this.open.has(call)) this.onCall?.(call);
    return true;
  }

  /** The one request that waits for its answer. */
  get waiting(): Call {
    const [call, ...more] = this.open;
    if (call === undefined || more.length > 0) throw new Error(`${this.open.size} calls wait`);
    return call;
  }
}

/** Promise chains and undici's body streams take a few turns of the event loop. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function createHarness(options: ConsulOptions = {}) {
  const agent = new FakeAgent();
  const clock = new ManualClock();
  const source = new ConsulSource(resolveConsulOptions({ dispatcher: agent, ...options }), {
    clock,
    random: createSeededRandom(1),
  });
  const controller = new AbortController();
  const errors: string[] = [];
  const context = {
    service: "orders",
    signal: controller.signal,
    report: (error: unknown): void => void errors.push((error as Error).message),
  };
  const snapshots: (readonly Endpoint[])[] = [];
  const watch = async (): Promise<void> => {
    for await (const snapshot of source.watch(context)) snapshots.push(snapshot);
  };
  const pass = async (ms: number): Promise<void> => {
    await clock.advanceAsync(ms);
    await settle();
  };
  return { agent, clock, source, controller, context, errors, snapshots, watch, pass };
}

const entry = (port: number, weight = 1): unknown => ({
  Node: { Node: "n1", Address: "10.0.0.9" },
  Service: {
    ID: `orders-${port}`,
    Address: "10.0.0.1",
    Port: port,
    Weights: { Passing: weight, Warning: 1 },
  },
  Checks: [{ Status: "passing" }],
});
const found = (
  index: number,
  ports: readonly number[],
  headers: Readonly<Record<string, string>> = {},
): Answer => ({
  headers: { "x-consul-index": String(index), "x-consul-knownleader": "true", ...headers },
  body: ports.map((port) => entry(port)),
});
const addresses = (snapshots: readonly (readonly Endpoint[])[]): readonly (readonly string[])[] =>
  snapshots.map((snapshot) => snapshot.map(({ address }) => address));

describe("watching Consul", () => {
  it("asks for everything, and then waits for what is newer than the answer", async () => {
    const { agent, snapshots, watch, pass, controller } = createHarness({
      service: "orders/eu",
      tag: ["blue", "v2"],
      dc: "dc2",
      namespace: "shop",
      partition: "p1",
      filter: 'Service.Meta.tier == "gold"',
      stale: true,
      token: "secret",
    });
    const watching = watch();
    await settle();
    const first = agent.waiting;
    expect(first.url.pathname).toBe("/v1/health/service/orders%2Feu");
    expect(Object.fromEntries(first.url.searchParams)).toEqual({
      ns: "shop",
      partition: "p1",
      passing: "true",
      stale: "true",
      tag: "v2",
      dc: "dc2",
      filter: 'Service.Meta.tier == "gold"',
    });
    expect(first.url.searchParams.getAll("tag")).toEqual(["blue", "v2"]);
    expect(first.headers["x-consul-token"]).toBe("secret");
    first.answer(found(17, [8080]));
    await pass(0);
    const { url, headersTimeout } = agent.waiting;
    expect([url.searchParams.get("index"), url.searchParams.get("wait")]).toEqual(["17", "60000ms"]);
    // The server may take a sixteenth longer than it was asked to wait.
    expect(headersTimeout).toBeGreaterThan(60_000 * (17 / 16));
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"]]);
    controller.abort();
    await watching;
    expect(agent.open.size).toBe(0);
  });

  it("takes no return for a change", async () => {
    const { agent, snapshots, watch, pass } = createHarness();
    void watch();
    await settle();
    for (const index of [17, 17, 18, 19]) {
      agent.waiting.answer(found(index, [8080]));
      await pass(1_000);
    }
    expect(snapshots).toHaveLength(1);
    agent.waiting.answer(found(20, [8080, 8081]));
    await pass(1_000);
    expect(snapshots).toHaveLength(2);
  });

  it("asks for everything again when the index goes back", async () => {
    const { agent, snapshots, watch, pass } = createHarness();
    void watch();
    await settle();
    agent.waiting.answer(found(2_525, [8080]));
    await pass(1_000);
    agent.waiting.answer(found(12, [8081]));
    await pass(1_000);
    expect(agent.waiting.url.searchParams.has("index")).toBe(false);
    agent.waiting.answer(found(12, [8081]));
    await pass(1_000);
    expect(agent.waiting.url.searchParams.get("index")).toBe("12");
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"], ["10.0.0.1:8081"]]);
  });

  it("sends at most ten queries a second, and two at once after a rest", async () => {
    const { agent, watch, pass } = createHarness();
    let index = 1;
    agent.onCall = (call) => setImmediate(() => call.answer(found(index++, [8080])));
    void watch();
    await settle();
    for (let step = 0; step < 100; step++) await pass(100);
    // Two at once, and one for each 100 ms of 10 s.
    expect(agent.calls.length).toBeGreaterThan(90);
    expect(agent.calls.length).toBeLessThanOrEqual(102);
  });

  it("keeps the set on errors, pauses, and says the same set again once it is back", async () => {
    const { agent, snapshots, errors, watch, pass } = createHarness();
    void watch();
    await settle();
    agent.waiting.answer(found(17, [8080]));
    await pass(0);
    agent.waiting.fail(new Error("connect ECONNREFUSED"));
    await settle();
    expect(agent.open.size).toBe(0);
    await pass(100);
    agent.waiting.answer({ status: 500, body: "No cluster leader" });
    await pass(400);
    agent.waiting.answer({ headers: { "x-consul-index": "18" }, body: "<html>" });
    await pass(800);
    agent.waiting.answer({ body: [entry(1)] });
    await pass(1_600);
    expect(agent.waiting.url.searchParams.has("index")).toBe(false);
    expect(snapshots).toHaveLength(1);
    expect(errors).toHaveLength(4);
    expect(errors[0]).toBe("consul http://127.0.0.1:8500: orders: connect ECONNREFUSED");
    expect(errors[1]).toContain("answered 500 No cluster leader");
    expect(errors[3]).toContain("X-Consul-Index");
    agent.waiting.answer(found(3, [8080]));
    await pass(0);
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"], ["10.0.0.1:8080"]]);
  });

  it("never lets a server without a leader take an instance away", async () => {
    const { agent, snapshots, errors, watch, pass } = createHarness({ stale: true });
    void watch();
    await settle();
    const leaderless = { "x-consul-knownleader": "false" };
    agent.waiting.answer(found(17, [8080, 8081]));
    await pass(0);
    agent.waiting.answer(found(18, [8080, 8081, 8082], leaderless));
    await pass(200);
    agent.waiting.answer(found(19, [8082], leaderless));
    await pass(100);
    // It asks for all of it before it says anything: an answer after a wait never knows a leader.
    expect(errors).toEqual([]);
    expect(agent.waiting.url.searchParams.has("index")).toBe(false);
    agent.waiting.answer(found(19, [8082], leaderless));
    await pass(200);
    expect(addresses(snapshots).at(-1)).toHaveLength(3);
    expect(errors).toEqual([
      "consul http://127.0.0.1:8500: orders: instances are missing, but the server knows no leader; they stay",
    ]);
    expect(agent.waiting.url.searchParams.has("index")).toBe(false);
    agent.waiting.answer(found(19, [8082]));
    await pass(200);
    expect(addresses(snapshots).at(-1)).toEqual(["10.0.0.1:8082"]);
  });

  it("does not take what the token may not see for gone", async () => {
    const { agent, snapshots, errors, watch, pass } = createHarness();
    void watch();
    await settle();
    agent.waiting.answer(found(17, [8080]));
    await pass(0);
    agent.waiting.answer(found(18, [], { "x-consul-results-filtered-by-acls": "true" }));
    await pass(200);
    expect(snapshots).toHaveLength(1);
    expect(errors[0]).toContain("the token may not read any instance");
  });

  it("asks for the token before each request", async () => {
    let number = 0;
    const { agent, watch, pass } = createHarness({ token: async () => `token-${++number}` });
    void watch();
    await settle();
    agent.waiting.answer({ status: 403, body: "ACL not found" });
    await pass(100);
    expect(agent.calls.map(({ headers }) => headers["x-consul-token"])).toEqual(["token-1", "token-2"]);
  });

  it("leaves neither timer nor request when it is given up", async () => {
    for (const moment of ["asking", "blocking", "pausing"] as const) {
      const { agent, clock, watch, pass, controller } = createHarness();
      const watching = watch();
      await settle();
      if (moment === "blocking") agent.waiting.answer(found(17, [8080]));
      if (moment === "pausing") agent.waiting.fail(new Error("gone"));
      await pass(0);
      controller.abort();
      await watching;
      expect([moment, clock.pendingTimers, agent.open.size]).toEqual([moment, 0, 0]);
    }
  });
});

const instance = { service: "orders", id: "orders:1", address: "http://10.0.0.1:8080" };

describe("registering with Consul", () => {
  async function register(options: ConsulOptions = {}) {
    const harness = createHarness(options);
    const registering = harness.source.register(instance, harness.context);
    await settle();
    return { ...harness, registering };
  }

  it("registers, and passes its check from then on", async () => {
    const { agent, registering, pass } = await register();
    const { method, url, body } = agent.waiting;
    expect([method, url.pathname]).toEqual(["PUT", "/v1/agent/service/register"]);
    expect(body).toMatchObject({ ID: "orders:1", Name: "orders", Address: "10.0.0.1", Port: 8080 });
    agent.waiting.answer({});
    await registering;
    await pass(0);
    expect(agent.waiting.url.pathname).toBe("/v1/agent/check/pass/service%3Aorders%3A1");
    agent.waiting.answer({});
    await settle();
    await pass(5_000);
    expect(agent.waiting.url.pathname).toContain("/v1/agent/check/pass/");
  });

  it.each([
    [404, 'Unknown check ID "service:orders:1"'],
    [500, 'Unknown check "service:orders:1"'],
    [500, 'CheckID "service:orders:1" does not have associated TTL'],
  ])("registers again when the heartbeat is answered with %i", async (status, body) => {
    const { agent, errors, pass } = await register();
    agent.waiting.answer({});
    await pass(0);
    agent.waiting.answer({ status, body });
    await settle();
    await pass(100);
    expect(agent.waiting.url.pathname).toBe("/v1/agent/service/register");
    expect(errors).toHaveLength(1);
  });

  it("registers again with a new token: the agent tells the servers with the one that it was registered with", async () => {
    let token = "one";
    const { agent, pass } = await register({ token: () => token });
    agent.waiting.answer({});
    await pass(0);
    agent.waiting.answer({});
    token = "two";
    await pass(5_000);
    expect(agent.waiting.url.pathname).toBe("/v1/agent/service/register");
    expect(agent.waiting.headers["x-consul-token"]).toBe("two");
    agent.waiting.answer({ status: 403 });
    await pass(100);
    expect(agent.waiting.url.pathname).toBe("/v1/agent/service/register");
    agent.waiting.answer({});
    await pass(5_000);
    expect(agent.waiting.url.pathname).toContain("/v1/agent/check/pass/");
  });

  it("waits for an agent that cannot be reached, and tells of it", async () => {
    const { agent, registering, errors, pass } = await register();
    let isRegistered = false;
    const done = registering.then(() => {
      isRegistered = true;
    });
    agent.waiting.fail(new Error("connect ECONNREFUSED"));
    await pass(100);
    agent.waiting.answer({ status: 403, body: "Permission denied" });
    await pass(200);
    expect(isRegistered).toBe(false);
    expect(errors[1]).toBe(
      "consul http://127.0.0.1:8500: orders: orders:1 could not be registered: answered 403 Permission denied",
    );
    agent.waiting.answer({});
    await done;
  });

  it("deregisters when it is disposed of, and leaves nothing", async () => {
    const { agent, clock, registering } = await register();
    agent.waiting.answer({});
    const registration = await registering;
    const disposed = registration[Symbol.asyncDispose]();
    await settle();
    expect(agent.waiting.url.pathname).toBe("/v1/agent/service/deregister/orders%3A1");
    agent.waiting.answer({});
    await disposed;
    await registration[Symbol.asyncDispose]();
    expect([agent.open.size, clock.pendingTimers, agent.calls.length]).toEqual([0, 0, 2]);
  });

  it.each([
    ["is not answered", (call: Call) => call.fail(new Error("connect ECONNREFUSED")), "connect ECONNREFUSED"],
    ["is refused", (call: Call) => call.answer({ status: 403, body: "Permission denied" }), "answered 403"],
  ])("rejects when the deregistration %s", async (_, fail, why) => {
    const { agent, registering } = await register();
    agent.waiting.answer({});
    const registration = await registering;
    const disposed = expect(registration[Symbol.asyncDispose]()).rejects.toThrow(
      `consul http://127.0.0.1:8500: orders: orders:1 could not be deregistered: ${why}`,
    );
    await settle();
    fail(agent.waiting);
    await disposed;
  });

  // The agent may have read the request already, and answers requests side by side.
  it("lets a registration under way arrive before it deregisters", async () => {
    let token = "one";
    const { agent, registering, pass } = await register({ token: () => token });
    agent.waiting.answer({});
    const registration = await registering;
    await pass(0);
    agent.waiting.answer({});
    token = "two";
    await pass(5_000);
    const again = agent.waiting;
    expect(again.url.pathname).toBe("/v1/agent/service/register");
    const disposed = registration[Symbol.asyncDispose]();
    await settle();
    expect(agent.waiting).toBe(again);
    again.answer({});
    await settle();
    expect(agent.waiting.url.pathname).toContain("deregister");
    agent.waiting.answer({});
    await disposed;
  });

  it("does not wait for a heartbeat under way before it deregisters", async () => {
    const { agent, registering, pass } = await register();
    agent.waiting.answer({});
    const registration = await registering;
    await pass(0);
    expect(agent.waiting.url.pathname).toContain("/v1/agent/check/pass/");
    const disposed = registration[Symbol.asyncDispose]();
    await settle();
    expect(agent.waiting.url.pathname).toContain("deregister");
    agent.waiting.answer({});
    await disposed;
  });

  it("stops at once when the signal aborts, and takes nothing out", async () => {
    const { agent, clock, controller, registering, pass } = await register();
    agent.waiting.answer({});
    const registration = await registering;
    controller.abort();
    await pass(60_000);
    await registration[Symbol.asyncDispose]();
    expect([agent.calls.length, clock.pendingTimers]).toEqual([1, 0]);
  });

  it("gives a deregistration up when the signal aborts", async () => {
    const { agent, controller, registering, errors } = await register();
    agent.waiting.answer({});
    const registration = await registering;
    const disposed = registration[Symbol.asyncDispose]();
    await settle();
    controller.abort();
    await disposed;
    expect([agent.open.size, errors]).toEqual([0, []]);
  });

  it("rejects when it is given up before it was registered", async () => {
    const { agent, controller, registering } = await register();
    controller.abort(new Error("closing"));
    await expect(registering).rejects.toThrow("closing");
    expect([agent.open.size, agent.calls.length]).toEqual([0, 1]);
  });

  it("waits no longer than it has to for a token that does not come", async () => {
    let isThere = true;
    const token = () => (isThere ? "one" : new Promise<string>(() => {}));
    const { agent, clock, controller, registering, pass, watch } = await register({ token });
    agent.waiting.answer({});
    const registration = await registering;
    isThere = false;
    await pass(0);
    const watching = watch();
    await settle();
    controller.abort();
    await Promise.all([watching, registration[Symbol.asyncDispose]()]);
    expect([agent.open.size, clock.pendingTimers]).toEqual([0, 0]);
  });

  it("refuses an instance that nobody could call", async () => {
    const { source, context } = createHarness();
    await expect(source.register({ ...instance, address: "unix:/run/x.sock" }, context)).rejects.toThrow(
      "must have a host and a port",
    );
  });
});

/** What `discoveryContract` publishes to, with blocking queries. */
async function createContractControls() {
  const agent = new FakeAgent();
  let index = 1;
  let present: readonly Endpoint[] = [];
  const body = (): unknown =>
    present.map(({ address, weight = 1 }) => ({
      Service: {
        Address: new URL(address).hostname,
        Port: Number(new URL(address).port),
        Weights: { Passing: weight },
      },
      Checks: [],
    }));
  const answer = (call: Call): void =>
    call.answer({ headers: { "x-consul-index": String(index) }, body: body() });
  agent.onCall = (call) => {
    if (Number(call.url.searchParams.get("index") ?? 0) < index) setImmediate(answer, call);
  };
  const source = new ConsulSource(resolveConsulOptions({ dispatcher: agent }), {
    clock: { now: () => performance.now(), schedule: scheduleNow },
    random: createSeededRandom(1),
  });
  return {
    // The contract knows addresses as Consul does not write them.
    discovery: {
      watch: async function* (context: Parameters<typeof source.watch>[0]) {
        for await (const endpoints of source.watch(context)) {
          yield endpoints.map((endpoint) => ({ ...endpoint, address: `http://${endpoint.address}` }));
        }
      },
    },
    publish: async (endpoints: readonly Endpoint[]) => {
      present = endpoints;
      index++;
      for (const call of agent.open) answer(call);
    },
    openHandles: () => agent.open.size,
    dispose: async () => {},
  };
}

/** The contract waits for real events; none of the source's pauses is of interest to it. */
function scheduleNow(callback: () => void) {
  const handle = setImmediate(callback);
  return { cancel: () => clearImmediate(handle), keepAlive: () => {} };
}

describe("the contract of sources", () => {
  for (const { name, run } of discoveryContract(createContractControls)) it(name, run);
});
