/** Tests of the Nacos source and registry against servers in the same process, in virtual time. */
import { describe, expect, it } from "vitest";
import type { Endpoint } from "../../core/endpoint.ts";
import { discoveryContract } from "../../testing/discovery-contract.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { NacosLogin } from "./login.ts";
import { type NacosOptions, type NacosServer, resolveNacosOptions } from "./options.ts";
import type { Payload } from "./payload.ts";
import { NacosSource } from "./source.ts";
import type { ChannelEvents, NacosChannel, NacosTransport } from "./transport.ts";

type Json = Readonly<Record<string, unknown>>;
type Answer = (type: string, fields: Json, token: string | undefined) => Json | Promise<Json>;

/** One connection, as the server sees it. */
class FakeChannel implements NacosChannel {
  readonly server: string;
  readonly events: ChannelEvents;
  /** What the client sent over the stream. */
  readonly sent: { readonly type: string; readonly fields: Json }[] = [];
  isClosed = false;
  readonly #nacos: FakeNacos;

  constructor(nacos: FakeNacos, server: string, events: ChannelEvents) {
    this.#nacos = nacos;
    this.server = server;
    this.events = events;
  }

  async request({ type, headers, body }: Payload): Promise<Payload> {
    if (this.#nacos.down.has(this.server)) throw new Error("14 UNAVAILABLE");
    const fields = JSON.parse(body) as Json;
    this.#nacos.requests.push({ server: this.server, type, fields });
    const answer = await this.#nacos.answer(type, fields, headers.accessToken);
    return { type: type.replace("Request", "Response"), headers: {}, body: JSON.stringify(answer) };
  }

  openStream(setup: Payload): void {
    this.send(setup);
    if (this.#nacos.acknowledges) queueMicrotask(() => this.push("SetupAckRequest", {}));
  }

  send({ type, body }: Payload): void {
    this.sent.push({ type, fields: JSON.parse(body) as Json });
  }

  push(type: string, fields: Json): void {
    if (!this.isClosed) this.events.message({ type, headers: {}, body: JSON.stringify(fields) });
  }

  close(): void {
    this.isClosed = true;
  }
}

class FakeNacos implements NacosTransport {
  readonly channels: FakeChannel[] = [];
  readonly requests: { readonly server: string; readonly type: string; readonly fields: Json }[] = [];
  readonly down: Set<string> = new Set();
  acknowledges = true;
  isBroken = false;
  hosts: readonly Json[] = [];
  lastRefTime = 1;
  isProtected = false;
  /** What is answered in place of what a healthy server says. */
  onRequest:
    | ((type: string, fields: Json, token: string | undefined) => Json | Promise<Json> | undefined)
    | undefined;

  readonly answer: Answer = async (type, fields, token) => {
    const special = await this.onRequest?.(type, fields, token);
    if (special !== undefined) return special;
    if (type === "ServerCheckRequest")
      return { resultCode: 200, supportAbilityNegotiation: this.acknowledges };
    return { resultCode: 200, ...(type === "SubscribeServiceRequest" ? { serviceInfo: this.info } : {}) };
  };

  get info(): Json {
    const { hosts, lastRefTime, isProtected } = this;
    return { name: "orders", hosts, lastRefTime, reachProtectionThreshold: isProtected };
  }

  open({ name }: NacosServer, events: ChannelEvents): FakeChannel {
    if (this.isBroken) throw new Error("no start line");
    const channel = new FakeChannel(this, name, events);
    this.channels.push(channel);
    return channel;
  }

  /** The connections that are open. */
  get connections(): readonly FakeChannel[] {
    return this.channels.filter(({ isClosed }) => !isClosed);
  }

  get present(): FakeChannel {
    const [channel, ...more] = this.connections;
    if (channel === undefined || more.length > 0)
      throw new Error(`${this.connections.length} connections are open`);
    return channel;
  }

  publish(hosts: readonly Json[]): void {
    this.hosts = hosts;
    this.lastRefTime++;
    for (const channel of this.connections) this.notify(channel);
  }

  notify(channel: FakeChannel, info: Json = this.info): void {
    channel.push("NotifySubscriberRequest", {
      requestId: "p1",
      serviceName: "orders",
      groupName: "DEFAULT_GROUP",
      serviceInfo: info,
    });
  }

  count(type: string, matching: Json = {}): number {
    return this.requests.filter(
      (one) =>
        one.type === type && Object.entries(matching).every(([key, value]) => one.fields[key] === value),
    ).length;
  }
}

const host = (port: number, more: Json = {}): Json => ({
  ip: "10.0.0.1",
  port,
  weight: 1,
  healthy: true,
  enabled: true,
  clusterName: "DEFAULT",
  ...more,
});

async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function createHarness(options: NacosOptions = {}, post?: ConstructorParameters<typeof NacosLogin>[2]) {
  const nacos = new FakeNacos();
  const clock = new ManualClock();
  const resolved = resolveNacosOptions(options);
  // The first server first, and pauses of half their limit.
  let draws = 0;
  const source = new NacosSource(resolved, {
    login: new NacosLogin(resolved, clock, post),
    clock,
    random: () => (draws++ === 0 ? 0 : 0.5),
    transport: async () => nacos,
  });
  const controller = new AbortController();
  const errors: string[] = [];
  const context = {
    service: "orders",
    signal: controller.signal,
    report: (error: unknown): void => void errors.push((error as Error).message),
  };
  const snapshots: (readonly Endpoint[])[] = [];
  const watch = async (service = "orders"): Promise<void> => {
    for await (const snapshot of source.watch({ ...context, service })) snapshots.push(snapshot);
  };
  const pass = async (ms: number): Promise<void> => {
    await clock.advanceAsync(ms);
    await settle();
  };
  return { nacos, clock, source, controller, context, errors, snapshots, watch, pass };
}

const addresses = (snapshots: readonly (readonly Endpoint[])[]): readonly (readonly string[])[] =>
  snapshots.map((snapshot) => snapshot.map(({ address }) => address));

describe("watching Nacos", () => {
  it("checks the server, sets up, waits for the acknowledgement, and subscribes", async () => {
    const { nacos, snapshots, watch, controller } = createHarness({
      namespace: "shop",
      group: "G",
      clusters: ["a", "b"],
    });
    nacos.hosts = [host(8080, { clusterName: "a" })];
    const watching = watch();
    await settle();
    expect(nacos.requests.map(({ type }) => type)).toEqual(["ServerCheckRequest", "SubscribeServiceRequest"]);
    expect(nacos.present.sent[0]).toMatchObject({
      type: "ConnectionSetupRequest",
      fields: { tenant: "shop", labels: { source: "sdk", module: "naming" } },
    });
    expect(nacos.requests[1]?.fields).toMatchObject({
      namespace: "shop",
      groupName: "G",
      serviceName: "orders",
      clusters: "a,b",
      subscribe: true,
    });
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"]]);
    controller.abort();
    await watching;
    await settle();
    expect(nacos.connections).toEqual([]);
  });

  it("gives a server that does not acknowledge its 100 ms", async () => {
    const { nacos, watch, pass } = createHarness();
    nacos.acknowledges = false;
    void watch();
    await pass(99);
    expect(nacos.count("SubscribeServiceRequest")).toBe(0);
    await pass(1);
    expect(nacos.count("SubscribeServiceRequest")).toBe(1);
  });

  it("takes pushes as they come, answers them, and drops those that are older or say nothing new", async () => {
    const { nacos, snapshots, watch } = createHarness();
    nacos.hosts = [host(8080)];
    void watch();
    await settle();
    nacos.publish([host(8080), host(8081)]);
    await settle();
    nacos.publish([host(8080), host(8081)]);
    nacos.notify(nacos.present, { hosts: [], lastRefTime: 1 });
    await settle();
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"], ["10.0.0.1:8080", "10.0.0.1:8081"]]);
    const answers = nacos.present.sent.filter(({ type }) => type === "NotifySubscriberResponse");
    expect(answers).toHaveLength(3);
    expect(answers[0]?.fields).toMatchObject({ requestId: "p1", resultCode: 200 });
  });

  // The change came while the server's clock was set back, and no other change may follow.
  it("asks for everything after a push that it dropped as older", async () => {
    const { nacos, snapshots, errors, watch, pass } = createHarness();
    nacos.lastRefTime = 1_000;
    nacos.hosts = [host(8080)];
    void watch();
    await settle();
    nacos.lastRefTime = 500;
    nacos.publish([host(8081)]);
    await settle();
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"]]);
    await pass(100);
    nacos.publish([host(8082)]);
    await pass(10_000);
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"], ["10.0.0.1:8081"], ["10.0.0.1:8082"]]);
    expect([nacos.count("SubscribeServiceRequest"), errors]).toEqual([2, []]);
  });

  it("uses what is enabled, healthy, has a weight, and is in one of the clusters", async () => {
    const { nacos, snapshots, watch } = createHarness({ clusters: "DEFAULT" });
    nacos.hosts = [
      host(1, { weight: 0.25, metadata: { zone: "b", version: "v2" } }),
      host(2, { enabled: false }),
      host(3, { healthy: false }),
      host(4, { weight: 0 }),
      host(5, { clusterName: "other" }),
      host(6, { metadata: { secure: "true" }, ip: "fd00::1" }),
    ];
    void watch();
    await settle();
    expect(snapshots[0]).toEqual([
      {
        address: "10.0.0.1:1",
        weight: 0.25,
        zone: "b",
        metadata: { cluster: "DEFAULT", zone: "b", version: "v2" },
      },
      { address: "https://[fd00::1]:6", weight: 1, metadata: { cluster: "DEFAULT", secure: "true" } },
    ]);
  });

  it("uses good instances beside those that make no sense", async () => {
    const { nacos, snapshots, watch } = createHarness({ clusters: "DEFAULT" });
    const senseless = { toString: 1 };
    nacos.hosts = [
      host(1, { ip: senseless }),
      host(2, { clusterName: senseless }),
      host(3, { metadata: "secure", weight: senseless }),
      null as unknown as Json,
      host(8080),
    ];
    void watch();
    await settle();
    expect(snapshots[0]?.at(-1)).toEqual({
      address: "10.0.0.1:8080",
      weight: 1,
      metadata: { cluster: "DEFAULT" },
    });
  });

  it("tells of a protection threshold that is reached, once", async () => {
    const { nacos, snapshots, errors, watch } = createHarness();
    nacos.isProtected = true;
    nacos.hosts = [host(8080)];
    void watch();
    await settle();
    nacos.publish([host(8080), host(8081)]);
    await settle();
    expect(errors).toEqual([
      "nacos: orders: so few instances are healthy that Nacos gives all of them (its protection threshold)",
    ]);
    expect(snapshots).toHaveLength(2);
  });

  it("checks the server's health every 5 s, and answers when it is asked for a sign of life", async () => {
    const { nacos, watch, pass } = createHarness();
    void watch();
    await pass(20_000);
    expect(nacos.count("HealthCheckRequest")).toBe(4);
    nacos.present.push("ClientDetectionRequest", { requestId: "d1" });
    expect(nacos.present.sent.at(-1)).toMatchObject({
      type: "ClientDetectionResponse",
      fields: { requestId: "d1" },
    });
  });

  it("goes to another server when one is lost, and subscribes again; the same set is then news", async () => {
    const { nacos, snapshots, errors, watch, pass } = createHarness({ servers: ["a:8848", "b:8848"] });
    nacos.hosts = [host(8080)];
    void watch();
    await settle();
    expect(nacos.present.server).toBe("a:8848");
    // Another server's clock may be behind.
    nacos.lastRefTime = 0;
    nacos.present.events.ended(new Error("14 UNAVAILABLE: Connection dropped"));
    expect(errors).toEqual(["orders: nacos a:8848: 14 UNAVAILABLE: Connection dropped"]);
    await pass(100);
    expect(nacos.present.server).toBe("b:8848");
    expect(addresses(snapshots)).toEqual([["10.0.0.1:8080"], ["10.0.0.1:8080"]]);
  });

  it("keeps trying while no server can be reached", async () => {
    const { nacos, snapshots, watch, pass } = createHarness({ servers: ["a:8848", "b:8848"] });
    nacos.down.add("a:8848").add("b:8848");
    nacos.hosts = [host(8080)];
    void watch();
    await pass(60_000);
    expect(new Set(nacos.channels.map(({ server }) => server)).size).toBe(2);
    expect(snapshots).toEqual([]);
    nacos.down.clear();
    await pass(30_000);
    expect(snapshots).toHaveLength(1);
  });

  it("gives up a server that takes the connection and does not answer", async () => {
    const { nacos, clock, errors, snapshots, watch, pass } = createHarness();
    nacos.onRequest = () => new Promise(() => {});
    void watch();
    await pass(3_000);
    expect(errors).toEqual(["orders: nacos 127.0.0.1:8848: no answer within 3000 ms"]);
    // For the next try, and nothing else.
    expect([nacos.connections.length, clock.pendingTimers]).toEqual([0, 1]);
    nacos.onRequest = undefined;
    await pass(100);
    expect([snapshots.length, clock.pendingTimers]).toEqual([1, 1]);
  });

  it("follows a reset, answering it first", async () => {
    const { nacos, watch, pass } = createHarness({ servers: ["a:8848", "b:8848", "c:8848"] });
    void watch();
    await settle();
    const first = nacos.present;
    first.push("ConnectResetRequest", { requestId: "r1", serverIp: "c", serverPort: "8848" });
    expect(first.sent.at(-1)).toMatchObject({ type: "ConnectResetResponse", fields: { requestId: "r1" } });
    await pass(100);
    expect(nacos.present.server).toBe("c:8848");
    expect(nacos.count("SubscribeServiceRequest")).toBe(2);
  });

  it("connects again when the server does not know the connection", async () => {
    const { nacos, watch, pass } = createHarness();
    void watch();
    await settle();
    nacos.onRequest = (type) =>
      type === "HealthCheckRequest"
        ? { resultCode: 500, errorCode: 301, message: "Connection is unregistered." }
        : undefined;
    await pass(5_000);
    nacos.onRequest = undefined;
    await pass(100);
    expect(nacos.channels).toHaveLength(2);
    expect(nacos.count("SubscribeServiceRequest")).toBe(2);
  });

  it("subscribes again when it is refused, over the same connection", async () => {
    const { nacos, snapshots, errors, watch, pass } = createHarness();
    let refusals = 2;
    nacos.onRequest = (type) =>
      type === "SubscribeServiceRequest" && refusals-- > 0
        ? { resultCode: 500, message: "not ready" }
        : undefined;
    void watch();
    await pass(300);
    expect([snapshots.length, errors.length, nacos.channels.length]).toEqual([1, 2, 1]);
    expect(errors[0]).toContain("SubscribeServiceRequest was answered with 500 not ready");
  });

  it("asks for everything when a push makes no sense", async () => {
    const { nacos, snapshots, errors, watch, pass } = createHarness();
    void watch();
    await settle();
    nacos.hosts = [host(8080)];
    nacos.lastRefTime++;
    for (let push = 0; push < 10; push++)
      nacos.present.events.message({ type: "NotifySubscriberRequest", headers: {}, body: "{" });
    await settle();
    // Not at once, since the next push may be like it.
    expect([nacos.count("SubscribeServiceRequest"), errors.length]).toEqual([1, 10]);
    await pass(30_000);
    expect(nacos.count("SubscribeServiceRequest")).toBe(2);
    expect(addresses(snapshots)).toEqual([[], ["10.0.0.1:8080"]]);
  });

  it("serves many services over one connection, which ends with the last", async () => {
    const { nacos, source, context, watch, controller } = createHarness();
    const one = new AbortController();
    const reading = (async () => {
      for await (const _ of source.watch({ ...context, service: "users", signal: one.signal }));
    })();
    const watching = [watch(), watch()];
    await settle();
    expect(nacos.channels).toHaveLength(1);
    one.abort();
    await reading;
    await settle();
    expect(nacos.connections).toHaveLength(1);
    expect(nacos.count("SubscribeServiceRequest", { subscribe: false, serviceName: "users" })).toBe(1);
    controller.abort();
    await Promise.all(watching);
    await settle();
    expect(nacos.connections).toEqual([]);
  });

  // As the guard does for a fresh list.
  it("subscribes again only after the subscription that it replaces was ended", async () => {
    const { nacos, source, context, watch, controller } = createHarness();
    const one = new AbortController();
    const readUsers = async (signal: AbortSignal): Promise<void> => {
      for await (const _ of source.watch({ ...context, service: "users", signal }));
    };
    const reading = readUsers(one.signal);
    const watching = watch();
    await settle();
    const held = Promise.withResolvers<Json>();
    nacos.onRequest = (_type, { subscribe }) => (subscribe === false ? held.promise : undefined);
    one.abort();
    await reading;
    const again = readUsers(controller.signal);
    await settle();
    const subscriptions = () =>
      nacos.requests
        .filter(({ fields }) => fields.serviceName === "users")
        .map(({ fields }) => fields.subscribe);
    expect(subscriptions()).toEqual([true, false]);
    held.resolve({ resultCode: 200 });
    await settle();
    expect(subscriptions()).toEqual([true, false, true]);
    controller.abort();
    await Promise.all([watching, again]);
  });

  it("ends with the connection at once, whatever the server does, when nobody else needs that", async () => {
    const { nacos, clock, watch, controller } = createHarness();
    const watching = watch();
    await settle();
    nacos.onRequest = () => new Promise(() => {});
    controller.abort();
    await watching;
    await settle();
    expect([nacos.connections.length, clock.pendingTimers]).toEqual([0, 0]);
  });

  it("pauses before it tries a server again that it could not even begin to connect to", async () => {
    const { nacos, snapshots, errors, watch, pass } = createHarness();
    nacos.isBroken = true;
    void watch();
    await settle();
    expect(errors).toEqual(["orders: nacos 127.0.0.1:8848: no start line"]);
    nacos.isBroken = false;
    await pass(100);
    expect(snapshots).toHaveLength(1);
  });

  it("leaves neither timer nor connection when it is given up", async () => {
    for (const moment of ["connected", "pausing"] as const) {
      const { nacos, clock, watch, pass, controller } = createHarness();
      const watching = watch();
      await settle();
      if (moment === "pausing") nacos.present.events.ended(new Error("gone"));
      controller.abort();
      await watching;
      await pass(0);
      expect([moment, clock.pendingTimers, nacos.connections.length]).toEqual([moment, 0, 0]);
    }
  });
});

const instance = {
  service: "orders",
  id: "orders:1",
  address: "https://10.0.0.1:8443",
  weight: 2,
  zone: "b",
};

describe("registering with Nacos", () => {
  it("registers, again after a reconnect, and deregisters", async () => {
    const { nacos, clock, source, context, pass } = createHarness();
    const registering = source.register({ ...instance, metadata: { cores: 4 } }, context);
    await settle();
    const registration = await registering;
    expect(nacos.requests.at(-1)).toMatchObject({
      type: "InstanceRequest",
      fields: {
        type: "registerInstance",
        serviceName: "orders",
        groupName: "DEFAULT_GROUP",
        namespace: "public",
        instance: {
          ip: "10.0.0.1",
          port: 8443,
          weight: 2,
          ephemeral: true,
          healthy: true,
          enabled: true,
          clusterName: "DEFAULT",
          metadata: { cores: "4", zone: "b", secure: "true" },
        },
      },
    });
    nacos.present.events.ended(new Error("gone"));
    await pass(100);
    expect(nacos.count("InstanceRequest", { type: "registerInstance" })).toBe(2);
    await registration[Symbol.asyncDispose]();
    await registration[Symbol.asyncDispose]();
    expect(nacos.count("InstanceRequest", { type: "deregisterInstance" })).toBe(1);
    expect([nacos.connections.length, clock.pendingTimers]).toEqual([0, 0]);
  });

  it("gives a second instance of a service a connection of its own", async () => {
    const { nacos, source, context, watch } = createHarness();
    void watch();
    const first = await settled(source.register(instance, context));
    const second = await settled(source.register({ ...instance, address: "http://10.0.0.1:1" }, context));
    await settled(source.register({ ...instance, service: "users" }, context));
    expect(nacos.connections).toHaveLength(2);
    await second[Symbol.asyncDispose]();
    expect(nacos.connections).toHaveLength(1);
    await first[Symbol.asyncDispose]();
    expect(nacos.connections).toHaveLength(1);
  });

  it("waits for a server, and tells of it", async () => {
    const { nacos, source, context, errors, pass } = createHarness();
    nacos.down.add("127.0.0.1:8848");
    const registering = source.register(instance, context);
    await pass(1_000);
    expect(errors[0]).toBe("orders: orders:1 is not registered: nacos 127.0.0.1:8848: 14 UNAVAILABLE");
    nacos.down.clear();
    await pass(5_000);
    await registering;
  });

  it("undoes what was under way when it was given up, if the connection stays for others", async () => {
    const { nacos, source, context } = createHarness();
    await settled(source.register({ ...instance, service: "users" }, context));
    const giveUp = new AbortController();
    const held = Promise.withResolvers<Json>();
    nacos.onRequest = (_type, { type }) => (type === "registerInstance" ? held.promise : undefined);
    const registering = source.register(instance, { ...context, signal: giveUp.signal });
    await settle();
    giveUp.abort(new Error("closing"));
    await expect(registering).rejects.toThrow("closing");
    // A server may take two requests in either order.
    expect(nacos.count("InstanceRequest", { type: "deregisterInstance" })).toBe(0);
    held.resolve({ resultCode: 200 });
    await settle();
    expect(nacos.count("InstanceRequest", { type: "deregisterInstance" })).toBe(1);
    expect(nacos.connections).toHaveLength(1);
  });

  it("goes with the connection when it is given up and nobody else needs that", async () => {
    const { nacos, clock, source, context, controller } = createHarness();
    nacos.onRequest = () => new Promise(() => {});
    const registering = source.register(instance, context);
    await settle();
    controller.abort(new Error("closing"));
    await expect(registering).rejects.toThrow("closing");
    expect([nacos.connections.length, clock.pendingTimers]).toEqual([0, 0]);
  });

  it("takes an instance that is given up out, though the connection stays for others", async () => {
    const { nacos, source, context } = createHarness();
    const giveUp = new AbortController();
    await settled(source.register({ ...instance, service: "users" }, context));
    const registration = await settled(source.register(instance, { ...context, signal: giveUp.signal }));
    giveUp.abort();
    await settle();
    await registration[Symbol.asyncDispose]();
    expect(nacos.count("InstanceRequest", { type: "deregisterInstance", serviceName: "orders" })).toBe(1);
    expect(nacos.connections).toHaveLength(1);
  });

  it("rejects when the deregistration fails, and lets go all the same", async () => {
    const { nacos, source, context } = createHarness();
    const registration = await settled(source.register(instance, context));
    nacos.onRequest = () => ({ resultCode: 500, errorCode: 500, message: "read-only" });
    await expect(registration[Symbol.asyncDispose]()).rejects.toThrow(
      "orders: orders:1 could not be deregistered: InstanceRequest was answered with 500 read-only",
    );
    expect(nacos.connections).toEqual([]);
  });

  // A server takes requests of one connection side by side, and the one that comes last counts.
  it("announces a successor only after its predecessor was taken out of the same connection", async () => {
    const { nacos, source, context } = createHarness();
    await settled(source.register({ ...instance, service: "users" }, context));
    const old = await settled(source.register(instance, context));
    const held = Promise.withResolvers<Json>();
    nacos.onRequest = (_type, { type }) => (type === "deregisterInstance" ? held.promise : undefined);
    const gone = old[Symbol.asyncDispose]();
    const registering = source.register({ ...instance, id: "orders:2" }, context);
    await settle();
    expect(nacos.count("InstanceRequest", { type: "registerInstance", serviceName: "orders" })).toBe(1);
    held.resolve({ resultCode: 200 });
    await gone;
    await registering;
    expect(nacos.connections).toHaveLength(1);
    expect(nacos.requests.at(-1)?.fields).toMatchObject({ type: "registerInstance", serviceName: "orders" });
  });

  it("keeps the connection until it is taken out, though the last watch over it ends meanwhile", async () => {
    const { nacos, source, context, watch, controller } = createHarness();
    const watching = watch();
    const own = { ...context, signal: new AbortController().signal };
    const registration = await settled(source.register(instance, own));
    const held = Promise.withResolvers<Json>();
    nacos.onRequest = (_type, { type }) => (type === "deregisterInstance" ? held.promise : undefined);
    const gone = registration[Symbol.asyncDispose]();
    controller.abort();
    await watching;
    await settle();
    expect(nacos.connections).toHaveLength(1);
    held.resolve({ resultCode: 200 });
    await gone;
    expect(nacos.connections).toEqual([]);
  });

  it("lets go at once when it is given up while the server does not answer", async () => {
    const { nacos, clock, source, context, controller } = createHarness();
    const registration = await settled(source.register(instance, context));
    nacos.onRequest = () => new Promise(() => {});
    const gone = registration[Symbol.asyncDispose]();
    await settle();
    expect(nacos.connections).toHaveLength(1);
    controller.abort(new Error("closing"));
    await gone;
    expect([nacos.connections.length, clock.pendingTimers]).toEqual([0, 0]);
  });

  it("refuses an instance that nobody could call", async () => {
    const { source, context } = createHarness();
    await expect(source.register({ ...instance, address: "unix:/run/x.sock" }, context)).rejects.toThrow(
      RangeError,
    );
  });
});

async function settled<T>(promise: Promise<T>): Promise<T> {
  await settle();
  return promise;
}

describe("logging in to Nacos", () => {
  const auth = { username: "nacos", password: "s3cr3t" };

  it("sends the token, and another one before it expires", async () => {
    const logins: string[] = [];
    const { nacos, clock, watch, pass, source, context } = createHarness({ auth }, async (url, form) => {
      expect(form).toEqual(auth);
      logins.push(url);
      // A server before 3.
      if (url.includes("/v3/")) return { status: 404, text: "" };
      return { status: 200, text: JSON.stringify({ accessToken: `t${logins.length / 2}`, tokenTtl: 100 }) };
    });
    const tokens: (string | undefined)[] = [];
    nacos.onRequest = (type, _fields, token) => {
      if (type === "InstanceRequest" || type === "SubscribeServiceRequest") tokens.push(token);
      return undefined;
    };
    void watch();
    await settle();
    expect(logins).toEqual([
      "http://127.0.0.1:8848/nacos/v3/auth/user/login",
      "http://127.0.0.1:8848/nacos/v1/auth/users/login",
    ]);
    clock.block(89_000);
    await settled(source.register(instance, context));
    clock.block(1_000);
    await settled(source.register({ ...instance, service: "users" }, context));
    expect(tokens).toEqual(["t1", "t1", "t2"]);
    await pass(0);
  });

  it("logs in again when the token is refused, and sends the request again", async () => {
    let logins = 0;
    const { nacos, snapshots, watch } = createHarness({ auth }, async () => ({
      status: 200,
      text: JSON.stringify({ accessToken: `t${++logins}`, tokenTtl: 18_000 }),
    }));
    nacos.onRequest = (type, _fields, token) =>
      type === "SubscribeServiceRequest" && token === "t1"
        ? { resultCode: 500, errorCode: 403, message: "token expired!" }
        : undefined;
    void watch();
    await settle();
    expect([logins, snapshots.length, nacos.channels.length]).toEqual([2, 1, 1]);
  });

  it("does not give up a good connection because logins fail", async () => {
    let isUp = true;
    const { nacos, watch, pass } = createHarness({ auth }, async () => {
      if (isUp) return { status: 200, text: JSON.stringify({ accessToken: "t", tokenTtl: 10 }) };
      throw new Error("connect ECONNREFUSED");
    });
    void watch();
    await settle();
    isUp = false;
    await pass(60_000);
    expect([nacos.channels.length, nacos.count("HealthCheckRequest")]).toEqual([1, 12]);
  });

  it("tells why it could not log in, without the password", async () => {
    const { errors, watch } = createHarness({ auth }, async () => ({ status: 403, text: "unknown user!" }));
    void watch();
    await settle();
    expect(errors[0]).toBe(
      "orders: nacos 127.0.0.1:8848: the login failed: /v3/auth/user/login answered 403, /v1/auth/users/login answered 403",
    );
  });
});

describe("resolveNacosOptions", () => {
  it("takes servers as all of Nacos' clients do", () => {
    const { servers } = resolveNacosOptions({
      servers: ["10.0.0.1", "10.0.0.2:80", "https://nacos.example", "[::1]:8848"],
    });
    expect(servers.map(({ name, grpcAddress, origin }) => [name, grpcAddress, origin])).toEqual([
      ["10.0.0.1:8848", "10.0.0.1:9848", "http://10.0.0.1:8848"],
      ["10.0.0.2:80", "10.0.0.2:1080", "http://10.0.0.2:80"],
      ["nacos.example:8848", "nacos.example:9848", "https://nacos.example:8848"],
      ["[::1]:8848", "[::1]:9848", "http://[::1]:8848"],
    ]);
  });

  it("speaks gRPC over TLS with servers that are given as https:, or as it is told", () => {
    const servers = ["http://10.0.0.1:8848", "https://10.0.0.2:8848"];
    const secure = (tls?: NacosOptions["tls"]) =>
      resolveNacosOptions({ servers, tls }).servers.map(({ isSecure }) => isSecure);
    expect([secure(), secure({}), secure(false)]).toEqual([
      [false, true],
      [true, true],
      [false, false],
    ]);
  });

  it.each([
    [{ servers: [] }, RangeError, "servers"],
    [{ servers: [1] }, TypeError, "servers"],
    [{ servers: "10.0.0.1:65000" }, RangeError, "servers"],
    [{ auth: { username: "a" } }, TypeError, "auth"],
    [{ contextPath: "nacos" }, TypeError, "contextPath"],
    [{ tls: { key: 1 } }, TypeError, "tls.key"],
    [{ cluster: "x" }, TypeError, "clusters"],
  ])("refuses %j", (options, kind, name) => {
    const resolve = (): unknown => resolveNacosOptions(options as Parameters<typeof resolveNacosOptions>[0]);
    expect(resolve).toThrow(kind);
    expect(resolve).toThrow(name);
  });
});

/** What `discoveryContract` publishes to. */
async function createContractControls() {
  const { nacos, source } = createHarness();
  return {
    discovery: {
      // The contract knows addresses as Nacos does not write them.
      watch: async function* (context: Parameters<typeof source.watch>[0]) {
        for await (const endpoints of source.watch(context)) {
          yield endpoints.map((endpoint) => ({ ...endpoint, address: `http://${endpoint.address}` }));
        }
      },
    },
    publish: async (endpoints: readonly Endpoint[]) =>
      nacos.publish(
        endpoints.map(({ address, weight = 1 }) =>
          host(Number(new URL(address).port), { ip: new URL(address).hostname, weight }),
        ),
      ),
    // A weight of -1 is none that gets calls, and Nacos' way to say so.
    takesBadEndpoints: false,
    openHandles: () => nacos.connections.length,
    dispose: async () => {},
  };
}

describe("the contract of sources", () => {
  for (const { name, run } of discoveryContract(createContractControls)) it(name, run);
});
