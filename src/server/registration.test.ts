/** Tests of a server in its registries, over servers and registries that are played by hand, in virtual time. */
import diagnosticsChannel from "node:diagnostics_channel";
import { EventEmitter } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiscoveryContext, Instance, Registry } from "../core/contracts.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { MemoryRegistry } from "../testing/memory-registry.ts";
import { type RegisterOptions, register } from "./index.ts";

let clock: ManualClock;
/** Everything that happens, in order and with its time. */
let events: string[];
const note = (what: string): void => void events.push(`${clock.now()} ${what}`);

class PlayedServer extends EventEmitter {
  #bound: AddressInfo | null = null;
  #closed: (() => void) | undefined;
  open = 0;

  listen(address = "127.0.0.1"): this {
    this.#bound = { address, port: 8080, family: "IPv4" };
    this.emit("listening");
    return this;
  }

  address(): AddressInfo | null {
    return this.#bound;
  }

  close(callback: () => void): this {
    note("closes");
    // As of Node.js' own: it has no address any more, and "close" comes after the last connection.
    this.#bound = null;
    this.#closed = callback;
    this.#look();
    return this;
  }

  closeAllConnections(): void {
    note("cuts off");
    this.open = 0;
    this.#look();
  }

  /** A call in flight ends. */
  end(): void {
    this.open--;
    this.#look();
  }

  #look(): void {
    if (this.#closed === undefined || this.open > 0) return;
    this.emit("close");
    this.#closed();
    this.#closed = undefined;
  }
}

/** Does with each call what it is told to. */
class PlayedRegistry implements Registry {
  registers: "take" | "refuse" | "hang" = "take";
  disposes: "take" | "refuse" | "hang" = "take";
  readonly present: Set<string> = new Set();
  calls = 0;

  async register({ id, address }: Instance, { signal }: DiscoveryContext): Promise<AsyncDisposable> {
    this.calls++;
    if (this.registers === "refuse") throw new Error("the registry is down");
    if (this.registers === "hang") await aborted(signal);
    signal.throwIfAborted();
    this.present.add(id);
    note(`in ${address}`);
    return {
      [Symbol.asyncDispose]: async () => {
        if (this.disposes === "refuse") throw new Error("the registry is down");
        if (this.disposes === "hang") await aborted(signal);
        this.present.delete(id);
        note(`out ${address}`);
      },
    };
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

const onError = (event: unknown): void => {
  const { address = "nowhere", error } = event as { address?: string; error: Error };
  note(`! ${address}: ${error.message}`);
};

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  diagnosticsChannel.subscribe("evenkeel:registration:error", onError);
});
afterEach(() => void diagnosticsChannel.unsubscribe("evenkeel:registration:error", onError));

function start(options: Partial<RegisterOptions> = {}) {
  const server = new PlayedServer();
  const registry = new PlayedRegistry();
  const registration = register({
    registry,
    service: "orders",
    server,
    clock,
    random: () => 0.5,
    ...options,
  });
  return { server, registry, registration };
}

describe("a registration", () => {
  it("waits until the server listens and the check says yes, and announces the bound port", async () => {
    let isReady: boolean | Error = new Error("no database yet");
    const { server, registry, registration } = start({
      check: () => {
        if (isReady instanceof Error) throw isReady;
        return isReady;
      },
      weight: 2,
      zone: "a",
      version: "1.2.3",
      metadata: { color: "blue" },
    });
    await clock.advanceAsync(60_000);
    expect(registry.calls).toBe(0);
    server.listen();
    await clock.advanceAsync(0);
    expect(events).toEqual(["60000 ! nowhere: no database yet"]);
    isReady = false;
    await clock.advanceAsync(10_000);
    expect(registry.calls).toBe(0);
    isReady = true;
    await clock.advanceAsync(1_000);
    await registration.ready();
    const [instance] = registration.instances;
    expect(instance).toEqual({
      service: "orders",
      address: "http://127.0.0.1:8080",
      id: expect.stringMatching(/^127\.0\.0\.1:8080:[0-9a-f]{8}$/),
      weight: 2,
      zone: "a",
      version: "1.2.3",
      metadata: { color: "blue" },
    });
  });

  it("leaves nothing behind for each time that its check says no", async () => {
    const added = vi.spyOn(AbortSignal.prototype, "addEventListener");
    const removed = vi.spyOn(AbortSignal.prototype, "removeEventListener");
    const { server, registration } = start({ check: () => false });
    server.listen();
    await clock.advanceAsync(60_000);
    const listeners = added.mock.calls.length - removed.mock.calls.length;
    vi.restoreAllMocks();
    expect(added.mock.calls.length).toBeGreaterThan(60);
    // Of the pause that it is in.
    expect(listeners).toBe(1);
    await registration.close();
  });

  it("says what could not be closed, and is closed all the same", async () => {
    const place = { address: "127.0.0.1", port: 9090, family: "IPv4" };
    const closes = [
      () => {
        throw new Error("it will not");
      },
      () => Promise.reject(new Error("it cannot")),
    ];
    for (const close of closes) {
      const { registration } = start({ server: { address: () => place, close }, drainMs: 0 });
      await registration.ready();
      const closed = registration.close();
      await clock.advanceAsync(0);
      await closed;
    }
    expect(events.filter((event) => event.includes("!"))).toEqual([
      "0 ! nowhere: it will not",
      "0 ! nowhere: it cannot",
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("stops in order: out of the registry, serving on for a while, closed, and cut off at the end", async () => {
    const { server, registration } = start();
    server.listen();
    await clock.advanceAsync(1_000);
    server.open = 2;
    const closed = registration.close();
    expect(registration.draining).toBe(true);
    expect(registration.close()).toBe(closed);
    await clock.advanceAsync(4_999);
    expect(events).toEqual(["0 in http://127.0.0.1:8080", "1000 out http://127.0.0.1:8080"]);
    await clock.advanceAsync(1);
    expect(events.at(-1)).toBe("6000 closes");
    server.end();
    await clock.advanceAsync(60_000);
    expect(events.slice(2)).toEqual(["6000 closes", "26000 cuts off"]);
    await closed;
    expect(clock.pendingTimers).toBe(0);
    expect(server.eventNames()).toEqual([]);
  });

  it("ends readiness before anything else, and for as long as it waits", async () => {
    const protection = { drain: () => note("not ready") };
    const { server, registration } = start({ protection });
    server.listen();
    await clock.advanceAsync(1_000);
    const closed = registration.close();
    await clock.advanceAsync(5_000);
    await closed;
    expect(events.slice(1)).toEqual(["1000 not ready", "1000 out http://127.0.0.1:8080", "6000 closes"]);
    expect(() => start({ protection: {} as never })).toThrow(
      /register\.protection must have a method drain\(\)/,
    );
  });

  it("ends as soon as the last call has, and leaves no timer", async () => {
    const { server, registration } = start({ drainMs: 0 });
    server.listen();
    await clock.advanceAsync(0);
    server.open = 1;
    const closed = registration.close();
    await clock.advanceAsync(300);
    server.end();
    await closed;
    expect(clock.pendingTimers).toBe(0);
    expect(events.at(-1)).toBe("0 closes");
  });

  it.each(["refuse", "hang"] as const)("goes on when the registry does %s to take it out", async (does) => {
    const { server, registry, registration } = start({ drainMs: 1_000 });
    server.listen();
    await clock.advanceAsync(0);
    registry.disposes = does;
    const closed = registration.close();
    await clock.advanceAsync(10_000);
    await closed;
    expect(events.slice(1)).toEqual(
      does === "refuse"
        ? ["0 ! http://127.0.0.1:8080: the registry is down", "1000 closes"]
        : [
            "3000 ! http://127.0.0.1:8080: not deregistered within 3000 ms; its lease has to run out",
            "4000 closes",
          ],
    );
  });

  it("tries for ever to get into a registry that is down, and says why it is not ready", async () => {
    const { server, registry, registration } = start();
    registry.registers = "refuse";
    server.listen();
    await clock.advanceAsync(0);
    const early = registration.ready({ timeoutMs: 1_000 }).catch((error: Error) => error);
    await clock.advanceAsync(3_600_000);
    expect(await early).toMatchObject({
      message: "orders: not registered within 1000 ms",
      cause: { message: "the registry is down" },
    });
    // Once every 15 s on average.
    expect(registry.calls).toBeGreaterThan(200);
    expect(registry.calls).toBeLessThan(260);
    registry.registers = "take";
    await clock.advanceAsync(30_000);
    await registration.ready();
    expect(registry.present.size).toBe(1);
  });

  it("is never announced after it was closed, and does not drain for nobody", async () => {
    const backingOff = start();
    backingOff.registry.registers = "refuse";
    backingOff.server.listen();
    await clock.advanceAsync(60_000);
    const { calls } = backingOff.registry;
    backingOff.registry.registers = "take";
    events.length = 0;
    await backingOff.registration.close();
    await clock.advanceAsync(60_000);
    expect(backingOff.registry.calls).toBe(calls);
    expect(events).toEqual(["60000 closes"]);

    const waiting = start({ check: () => new Promise(() => {}) });
    waiting.server.listen();
    await clock.advanceAsync(0);
    await waiting.registration.close();
    expect(waiting.registry.calls).toBe(0);
    await expect(waiting.registration.ready()).rejects.toThrow("orders: the registration is closed");
  });

  it("does not speak of a lease when the registry never had it", async () => {
    const { server, registry, registration } = start();
    registry.registers = "hang";
    server.listen();
    await clock.advanceAsync(0);
    const closed = registration.close();
    await clock.advanceAsync(3_000);
    await closed;
    expect(events).toEqual([
      "3000 ! http://127.0.0.1:8080: it was still being registered when it was to be taken out, and is given up after 3000 ms",
      "3000 closes",
    ]);
  });

  it("has an id that every registry can use as a key, whatever its path", async () => {
    const path = "/run/my sockets/\u00fc.sock";
    const { registration } = start({ server: { address: () => path }, drainMs: 0 });
    await registration.ready();
    const [instance] = registration.instances;
    expect(instance?.address).toBe(`unix:${path}`);
    expect(instance?.id).toMatch(/^-run-my-sockets--\.sock:[0-9a-f]{8}$/);
    const closed = registration.close();
    await clock.advanceAsync(0);
    await closed;
  });

  it("takes out what was on its way into the registry when it was closed", async () => {
    const { server, registry, registration } = start({ drainMs: 0 });
    const gate = Promise.withResolvers<void>();
    const take = registry.register.bind(registry);
    registry.register = async (instance, context) => {
      await gate.promise;
      return take(instance, context);
    };
    server.listen();
    await clock.advanceAsync(0);
    const closed = registration.close();
    await clock.advanceAsync(1_000);
    gate.resolve();
    await clock.advanceAsync(0);
    await closed;
    expect(events.slice(0, 2)).toEqual(["1000 in http://127.0.0.1:8080", "1000 out http://127.0.0.1:8080"]);
    expect(registry.present.size).toBe(0);
  });

  it("serves several services and registries, and a server with two registrations closes with the last", async () => {
    const registries = [new MemoryRegistry(), new MemoryRegistry()];
    const { server, registration } = start({
      registry: registries,
      service: ["orders", "admin"],
      drainMs: 0,
    });
    const second = register({
      registry: registries,
      service: "users",
      server,
      clock,
      drainMs: 0,
      random: () => 0,
    });
    server.listen();
    await registration.ready();
    await second.ready();
    for (const registry of registries) {
      const found = ["orders", "admin", "users"].map((service) => registry.instances(service).length);
      expect(found).toEqual([1, 1, 1]);
    }
    const ids = [...registration.instances, ...second.instances].map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    await registration.close();
    await clock.advanceAsync(60_000);
    expect(registries[0]?.instances("orders")).toEqual([]);
    expect(registries[0]?.instances("users")).toHaveLength(1);
    expect(events).toEqual([]);
    const closed = second.close();
    await clock.advanceAsync(0);
    await closed;
    expect(events).toEqual(["60000 closes"]);
  });

  it("serves on for callers of a service that it had, though another registration never came about", async () => {
    const { server, registration } = start({ drainMs: 3_000 });
    const registry = new PlayedRegistry();
    registry.registers = "refuse";
    const second = register({ registry, service: "users", server, clock, drainMs: 3_000, random: () => 0.5 });
    server.listen();
    await registration.ready();
    const closed = Promise.all([registration.close(), second.close()]);
    await clock.advanceAsync(10_000);
    await closed;
    expect(events.filter((event) => !event.includes("!"))).toEqual([
      "0 in http://127.0.0.1:8080",
      "0 out http://127.0.0.1:8080",
      "3000 closes",
    ]);
  });

  it("cuts off a server that emits no events, as one of grpc-js", async () => {
    const { promise: cutOff, resolve: closeAllConnections } = Promise.withResolvers<void>();
    const server = {
      address: () => ({ address: "127.0.0.1", port: 8080, family: "IPv4" }),
      close: () => {
        note("closes");
        return cutOff;
      },
      closeAllConnections: () => {
        note("cuts off");
        closeAllConnections();
      },
    };
    const { registration } = start({ server, drainMs: 0, closeMs: 7_000 });
    await registration.ready();
    const closed = registration.close();
    await clock.advanceAsync(7_000);
    await closed;
    expect(events.slice(2)).toEqual(["0 closes", "7000 cuts off"]);
  });

  it("takes itself out when the program closes the server", async () => {
    const { server, registry, registration } = start();
    server.listen();
    await clock.advanceAsync(0);
    server.close(() => {});
    await clock.advanceAsync(0);
    expect(registry.present.size).toBe(0);
    await registration.close();
    expect(events).toEqual(["0 in http://127.0.0.1:8080", "0 closes", "0 out http://127.0.0.1:8080"]);
  });

  it("takes itself out within a second when the program closes the server and a call goes on for ever", async () => {
    const { server, registry, registration } = start();
    server.listen();
    await clock.advanceAsync(60_000);
    server.open = 1;
    server.close(() => note("closed"));
    await clock.advanceAsync(1_000);
    expect(registry.present.size).toBe(0);
    await registration.close();
    await clock.advanceAsync(60_000);
    // What is in flight is the program's: it closes its server as it likes.
    expect(events.slice(1)).toEqual(["60000 closes", "61000 out http://127.0.0.1:8080"]);
    server.end();
    expect(events.at(-1)).toMatch(/closed$/);
    expect(clock.pendingTimers).toBe(0);
  });

  it("works with what has an address and emits nothing", async () => {
    let bound: AddressInfo | null = null;
    let isClosed = false;
    const server = {
      address: () => bound,
      close: async () => {
        isClosed = true;
      },
    };
    const { registration, registry } = start({ server, scheme: "https", drainMs: 0 });
    await clock.advanceAsync(1_000);
    bound = { address: "0.0.0.0", port: 9090, family: "IPv4" };
    await clock.advanceAsync(50);
    expect(registry.present.size).toBe(1);
    expect(registration.instances[0]?.address).toMatch(/^https:\/\/(?!0\.0\.0\.0).+:9090$/);
    const closed = registration.close();
    await clock.advanceAsync(0);
    await closed;
    expect(isClosed).toBe(true);
  });

  it("is refused for options that cannot be meant", () => {
    const refused = (options: object) => () => start(options);
    expect(refused({ service: [] })).toThrow("register.service must name at least one");
    expect(refused({ service: ["a", 5] })).toThrow("register.service[1] must be a non-empty string, got 5");
    expect(refused({ registry: {} })).toThrow("register.registry must be an object with register()");
    expect(refused({ server: undefined })).toThrow("register.server must be given");
    expect(refused({ server: {} })).toThrow("register.server must have a method address()");
    expect(refused({ host: "0.0.0.0" })).toThrow("register.host must be an address that others can");
    expect(refused({ host: "::" })).toThrow("register.host must be an address that others can");
    expect(refused({ host: "[::]" })).toThrow("register.host must be an address that others can");
    expect(refused({ host: "[2001:db8::1]" })).not.toThrow();
    expect(refused({ address: "http://0.0.0.0:80" })).toThrow("register.address must be an address");
    expect(refused({ address: "http://a", host: "a" })).toThrow("both given");
    expect(refused({ weight: -1 })).toThrow("weight of http://127.0.0.1 must be from 0");
    expect(refused({ drainMs: -1 })).toThrow("register.drainMs must be");
    expect(refused({ drain: 1 })).toThrow("unknown option register.drain");
  });
});
