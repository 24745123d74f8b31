/** Tests the defaults, the checks and the suggestions of a cluster's options. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemClock } from "../core/clock.ts";
import { tcpCheck } from "../health/tcp-check.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { resolveRules, rulesOf } from "./call-rules.ts";
import { type ClusterOptions, resolveOptions } from "./options.ts";

const least = { name: "orders", discovery: ["http://a"] } as const;
const resolve = (options: object) => resolveOptions({ ...least, ...options } as ClusterOptions);

/** `timeouts.totalMs` and 5 make `{ timeouts: { totalMs: 5 } }`. */
function at(path: string, value: unknown): object {
  return path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as object;
}

function errorOf(options: object): Error {
  try {
    resolve(options);
  } catch (error) {
    return error as Error;
  }
  throw new Error(`nothing was thrown for ${JSON.stringify(options)}`);
}

describe("resolveOptions", () => {
  it("has the defaults of DESIGN.md", () => {
    const { discovery, policy, random, ...rest } = resolveOptions(least);
    expect(policy.name).toBe("leastCost");
    expect(discovery.watch).toBeTypeOf("function");
    expect(random).toBe(Math.random);
    expect(rest).toEqual({
      name: "orders",
      timeouts: { totalMs: 30_000, attemptMs: 10_000, connectMs: 1_000, bodyIdleMs: 30_000 },
      retry: {
        attempts: 3,
        statuses: new Set([502, 503, 504]),
        methods: new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]),
        backoffMs: 25,
        maxBackoffMs: 250,
      },
      retryBudget: { ratio: 0.2, minPerSecond: 10 },
      ejection: {
        consecutiveFailures: 5,
        failureRate: 0.5,
        minimumCalls: 20,
        baseMs: 5_000,
        maxMs: 60_000,
      },
      warmUpMs: 10_000,
      failOpen: true,
      connections: {
        perNode: 100,
        total: 1_000,
        queue: 1_000,
        queueMs: 1_000,
        idleMs: 30_000,
        maxAgeMs: Number.POSITIVE_INFINITY,
        minPerNode: 0,
        connectingPerNode: 16,
        connecting: 128,
        http2: "auto",
        maxStreams: 100,
        pingMs: 1_000,
        pingTimeoutMs: 500,
        drainMs: 30_000,
        factory: undefined,
      },
      tls: { ca: undefined, cert: undefined, key: undefined, servername: undefined },
      host: undefined,
      scheme: "http",
      allowEmpty: false,
      clock: systemClock,
    });
  });

  it("takes what it is given", () => {
    const clock = new ManualClock();
    const given = {
      timeouts: { totalMs: 2_000, attemptMs: 500, connectMs: 300, bodyIdleMs: 100 },
      retry: {
        attempts: 1,
        statuses: [500],
        methods: ["get", "Query"],
        budget: { ratio: 0, minPerSecond: 0 },
      },
      health: { check: tcpCheck(), ejection: { consecutiveFailures: 2 }, warmUpMs: 0, failOpen: false },
      connections: { perNode: 1, idleMs: 1, drainMs: 0 },
      tls: { ca: ["one", Buffer.from("two")], cert: "c", key: Buffer.from("k"), servername: "x" },
      host: "h",
      scheme: "https",
      allowEmpty: true,
      clock,
      random: () => 0.5,
    };
    const resolved = resolve(given);
    expect(resolved).toMatchObject({
      timeouts: given.timeouts,
      retryBudget: { ratio: 0, minPerSecond: 0 },
      ejection: { consecutiveFailures: 2, failureRate: 0.5 },
      check: given.health.check,
      warmUpMs: 0,
      failOpen: false,
      connections: given.connections,
      tls: given.tls,
      host: "h",
      scheme: "https",
      allowEmpty: true,
    });
    expect(resolved.retry).toMatchObject({
      attempts: 1,
      statuses: new Set([500]),
      methods: new Set(["GET", "QUERY"]),
    });
    expect(resolved.clock).toBe(clock);
    expect(resolved.random()).toBe(0.5);
  });

  it("takes undefined for not given, at every level", () => {
    const plain = JSON.stringify(resolve({ policy: undefined }));
    for (const options of [
      { timeouts: undefined, retry: undefined, health: undefined, connections: undefined, tls: undefined },
      { timeouts: { totalMs: undefined }, retry: { budget: undefined }, health: { ejection: undefined } },
      { host: undefined, scheme: undefined, allowEmpty: undefined, clock: undefined, random: undefined },
    ]) {
      expect(JSON.stringify(resolve(options))).toBe(plain);
    }
  });

  it("finds a snapshot's file: in a folder, each service has its own", () => {
    expect(resolve({ snapshot: { path: "/a/b.json" } }).snapshot).toEqual({ path: "/a/b.json", waitMs: 500 });
    const inFolder = { ...least, name: "../users:80", snapshot: { path: "/a/", waitMs: 0 } };
    expect(resolveOptions(inFolder).snapshot).toEqual({ path: "/a/..%2Fusers%3A80.json", waitMs: 0 });
  });

  it("switches off with false what may be switched off", () => {
    expect(resolve({ retry: false }).retry.attempts).toBe(1);
    expect(resolve({ retry: { budget: false } }).retryBudget).toBeUndefined();
    expect(resolve({ health: { ejection: false } }).ejection).toBeUndefined();
  });

  it("asks for a name and a discovery", () => {
    expect(() => resolveOptions({ discovery: ["http://a"] } as unknown as ClusterOptions)).toThrow(
      new TypeError("name must be given: the service's name, as in its URLs"),
    );
    expect(() => resolveOptions({ name: "orders" } as ClusterOptions)).toThrow(
      /^discovery must be a source such as list\(\) or file\(\), or an array of endpoints, got undefined$/,
    );
    expect(() => resolveOptions(undefined as unknown as ClusterOptions)).toThrow(TypeError);
    expect(() => resolveOptions(null as unknown as ClusterOptions)).toThrow(
      "options must be an object, got null",
    );
  });

  it.each<[string, unknown, typeof TypeError | typeof RangeError, string]>([
    ["name", "", TypeError, 'name must be a non-empty string, got ""'],
    ["name", 7, TypeError, "got 7"],
    ["discovery", {}, TypeError, "got an object with no fields"],
    ["discovery", "http://a", TypeError, 'got "http://a"'],
    ["policy", "leastCost", TypeError, 'policy must have a method build(), got "leastCost"'],
    ["policy", null, TypeError, "got null"],
    ["timeouts", 5, TypeError, "timeouts must be an object, got 5"],
    ["timeouts", [], TypeError, "timeouts must be an object, got an array of 0"],
    ["timeouts.totalMs", 0, RangeError, "timeouts.totalMs must be a number from 1 to 2147483647, got 0"],
    ["timeouts.totalMs", Number.NaN, RangeError, "got NaN"],
    ["timeouts.totalMs", Number.POSITIVE_INFINITY, RangeError, "got Infinity"],
    ["timeouts.attemptMs", "500", TypeError, 'timeouts.attemptMs must be a number, got "500"'],
    ["timeouts.connectMs", -1, RangeError, "timeouts.connectMs must be"],
    ["timeouts.bodyIdleMs", 1.5, RangeError, "timeouts.bodyIdleMs must be an integer"],
    ["retry", true, TypeError, "retry must be an object, got true"],
    ["retry.attempts", 0, RangeError, "retry.attempts must be an integer from 1 to 100, got 0"],
    ["retry.attempts", 2.5, RangeError, "got 2.5"],
    ["retry.statuses", 503, TypeError, "retry.statuses must be an array, got 503"],
    [
      "retry.statuses",
      [503, 99],
      RangeError,
      "retry.statuses must hold HTTP statuses from 200 to 599, got 99",
    ],
    ["retry.statuses", ["503"], RangeError, 'got "503"'],
    ["retry.methods", [""], TypeError, 'retry.methods must hold method names, got ""'],
    ["retry.methods", [1], TypeError, "got 1"],
    ["retry.budget", true, TypeError, "retry.budget must be an object, got true"],
    ["retry.budget.ratio", -0.1, RangeError, "retry.budget.ratio must be a number from 0 to 100, got -0.1"],
    ["retry.budget.minPerSecond", null, TypeError, "retry.budget.minPerSecond must be a number, got null"],
    ["retry.backoffMs", -1, RangeError, "retry.backoffMs must be"],
    ["retry.maxBackoffMs", {}, TypeError, "retry.maxBackoffMs must be a number"],
    ["health", false, TypeError, "health must be an object, got false"],
    ["health.check", "/health", TypeError, 'health.check must have a method watch(), got "/health"'],
    ["health.ejection", true, TypeError, "health.ejection must be an object, got true"],
    ["health.ejection.consecutiveFailures", 0, RangeError, "an integer of at least 1, got 0"],
    [
      "health.ejection.failureRate",
      0,
      RangeError,
      "health.ejection.failureRate must be a number from 0.01 to 1",
    ],
    ["health.ejection.minimumCalls", 1.5, RangeError, "health.ejection.minimumCalls must be an integer"],
    ["health.ejection.baseMs", 0, RangeError, "health.ejection.baseMs must be"],
    ["health.ejection.maxMs", "x", TypeError, "health.ejection.maxMs must be"],
    ["health.warmUpMs", -1, RangeError, "health.warmUpMs must be a number from 0"],
    ["health.failOpen", 1, TypeError, "health.failOpen must be true or false, got 1"],
    ["connections.perNode", 0, RangeError, "connections.perNode must be an integer of at least 1, got 0"],
    ["connections.idleMs", 0, RangeError, "connections.idleMs must be"],
    ["connections.drainMs", -5, RangeError, "connections.drainMs must be"],
    ["connections.factory", {}, TypeError, "connections.factory must be a function"],
    ["tls", "x", TypeError, "tls must be an object"],
    ["tls.ca", 5, TypeError, "tls.ca must be PEM as a string or Buffer, got number"],
    ["tls.ca", [Buffer.from("x"), {}], TypeError, "tls.ca[1] must be PEM as a string or Buffer, got object"],
    ["tls.cert", "", TypeError, 'tls.cert must be PEM as a string or Buffer, got ""'],
    ["tls.key", { pem: "secret" }, TypeError, "tls.key must be PEM as a string or Buffer, got object"],
    ["tls.servername", 5, TypeError, "tls.servername must be a non-empty string, got 5"],
    ["host", 5, TypeError, "host must be a non-empty string, got 5"],
    ["scheme", "grpc", RangeError, 'scheme must be "http" or "https", got "grpc"'],
    ["allowEmpty", "no", TypeError, 'allowEmpty must be true or false, got "no"'],
    ["snapshot", "a.json", TypeError, 'snapshot must be an object, got "a.json"'],
    ["snapshot.path", "", TypeError, 'snapshot.path must be a non-empty string, got ""'],
    ["snapshot", {}, TypeError, "snapshot.path must be given: a file, or a folder with a slash"],
    ["clock", {}, TypeError, "clock must have a method now()"],
    ["clock", { now: () => 0 }, TypeError, "clock must have a method schedule()"],
    ["random", 4, TypeError, "random must be a function, got 4"],
  ])("refuses %s: %j", (path, value, kind, message) => {
    const error = errorOf(at(path, value));
    expect(error.message).toContain(message);
    expect(error).toBeInstanceOf(kind);
    expect(error.message).toContain(path);
  });

  it.each([
    [
      "timeout",
      { timeout: {} },
      'unknown option timeout (an object with no fields); did you mean "timeouts"?',
    ],
    [
      "timeouts.totalMS",
      at("timeouts.totalMS", 1),
      'unknown option timeouts.totalMS (1); did you mean "totalMs"?',
    ],
    ["retry.attempt", at("retry.attempt", 3), 'unknown option retry.attempt (3); did you mean "attempts"?'],
    ["retry.budget.ratios", at("retry.budget.ratios", 1), 'did you mean "ratio"?'],
    ["health.failopen", at("health.failopen", true), 'did you mean "failOpen"?'],
    ["health.ejection.base", at("health.ejection.base", 1), 'did you mean "baseMs"?'],
    ["connections.pernode", at("connections.pernode", 1), 'did you mean "perNode"?'],
    ["tls.server", at("tls.serverName", "x"), 'did you mean "servername"?'],
  ])("refuses the unknown option %s with a suggestion", (_path, options, message) => {
    const error = errorOf(options);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(message);
  });

  it("suggests nothing where nothing is near", () => {
    expect(errorOf({ xyzzy: 1 }).message).toBe("unknown option xyzzy (1)");
  });

  it("changes nothing that it is given, and what is changed later changes nothing", () => {
    const statuses = [500];
    const methods = ["get"];
    const given = deepFreeze({
      ...least,
      timeouts: { totalMs: 5 },
      retry: { budget: { ratio: 1 } },
      health: { ejection: {} },
      connections: {},
      tls: {},
    });
    resolveOptions(given);
    const resolved = resolve({ retry: { statuses, methods } });
    statuses.push(501);
    methods.push("post");
    expect(resolved.retry).toMatchObject({ statuses: new Set([500]), methods: new Set(["GET"]) });
  });

  it("accepts every number within its range and refuses all others with a RangeError", () => {
    const ranges: readonly (readonly [string, number, number])[] = [
      ["timeouts.totalMs", 1, 2 ** 31 - 1],
      ["timeouts.attemptMs", 1, 2 ** 31 - 1],
      ["timeouts.connectMs", 1, 2 ** 31 - 1],
      ["health.warmUpMs", 0, 2 ** 31 - 1],
      ["health.ejection.failureRate", 0.01, 1],
      ["retry.budget.ratio", 0, 100],
      ["retry.backoffMs", 0, 2 ** 31 - 1],
    ];
    fc.assert(
      fc.property(fc.constantFrom(...ranges), fc.double(), ([path, min, max], value) => {
        if (value >= min && value <= max) resolve(at(path, value));
        else expect(errorOf(at(path, value))).toBeInstanceOf(RangeError);
      }),
    );
  });
});

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === "object" && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}

describe("retry.methods over gRPC", () => {
  const retryOf = (methods: unknown) =>
    resolveOptions({ name: "orders", discovery: [], retry: { methods } as { methods: [] } }).retry;

  it("are full paths as they are written, or the word for the methods' own definitions", () => {
    expect(retryOf(["/shop.Orders/Get", "get"]).methods).toEqual(new Set(["/shop.Orders/Get", "GET"]));
    expect(retryOf("idempotency_level")).toMatchObject({ methods: new Set(), byIdempotencyLevel: true });
    expect(() => retryOf("idempotency")).toThrow('retry.methods must be an array, got "idempotency"');
  });

  it("stay what they are in views that say nothing of them", () => {
    const base = rulesOf(
      resolveOptions({ name: "orders", discovery: [], retry: { methods: "idempotency_level" } }),
    );
    expect(resolveRules(base, { retry: { attempts: 2 } }, "with").retry.byIdempotencyLevel).toBe(true);
    expect(
      resolveRules(base, { retry: { methods: ["GET"] } }, "with").retry.byIdempotencyLevel,
    ).toBeUndefined();
  });
});
