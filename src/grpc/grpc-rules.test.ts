/** Tests what a view's options come to over gRPC, how a call carries them, and what is refused. */
import { type InterceptingCall, type Interceptor, Metadata } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import type { WithOptions } from "../cluster/call-rules.ts";
import { Cluster } from "../cluster/cluster.ts";
import type { ClusterOptions } from "../cluster/options.ts";
import { CallContext, runInContext } from "../resilience/call-context.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import type { GrpcCall } from "./grpc-call.ts";
import { grpcPolicy } from "./grpc-policy.ts";
import { type GrpcRules, rulesIn } from "./grpc-rules.ts";
import { GrpcService } from "./grpc-service.ts";
import { createInterceptor } from "./interceptor.ts";

const repeatable = { path: "/shop.Orders/Get", isStream: false, isKnown: true, mayRepeat: true };

const get = { path: "/shop.Orders/Get", requestStream: false, responseStream: false };
const list = { path: "/shop.Orders/List", requestStream: false, responseStream: true };

const open: Cluster[] = [];
afterEach(() => {
  for (const cluster of open.splice(0)) cluster.destroy();
});

function serve(options: Partial<ClusterOptions> = {}): GrpcService {
  const cluster = new Cluster({
    name: "orders",
    discovery: ["10.0.0.1:50051"],
    clock: new ManualClock(),
    ...options,
  } as ClusterOptions);
  open.push(cluster);
  return new GrpcService(cluster);
}

/** What a view makes of a method that is known. */
function mayRepeat(view: GrpcRules, path: string): boolean {
  return view.methodOf(view.service.methods.of(path)).mayRepeat;
}

describe("whether a method may run twice", () => {
  it("is up to retry.methods of the view, and before them to idempotent", () => {
    const { rules } = serve({ retry: { methods: [get.path] } });
    expect(mayRepeat(rules.with({ zone: "a" }), get.path)).toBe(true);
    const others = rules.with({ retry: { methods: [list.path] } });
    expect(mayRepeat(others, get.path)).toBe(false);
    expect(mayRepeat(others, list.path)).toBe(true);
    expect(mayRepeat(others.with({ idempotent: true }), get.path)).toBe(true);
    expect(mayRepeat(others.with({ idempotent: false }), list.path)).toBe(false);
  });

  it("is up to the definition where the view says so, also to one that is handed over later", () => {
    const { rules, methods } = serve();
    const view = rules.with({ retry: { methods: "idempotency_level" } });
    expect(mayRepeat(view, get.path)).toBe(false);
    methods.define({ ...get, options: { idempotency_level: "IDEMPOTENT" } } as never);
    expect(mayRepeat(view, get.path)).toBe(true);
    expect(mayRepeat(rules, get.path)).toBe(false);
  });

  it("leaves it known that the method is a stream", () => {
    const { rules, methods } = serve();
    methods.learn(list as never);
    expect(rules.with({ idempotent: true }).methodOf(methods.of(list.path))).toEqual({
      path: list.path,
      isStream: true,
      isKnown: true,
      mayRepeat: true,
    });
  });
});

it("tells grpc-js of as many attempts as the view has, and of none under its own policies", () => {
  const { rules } = serve();
  expect(rules.methodConfig.retryPolicy?.maxAttempts).toBe(6);
  expect(rules.with({ retry: { attempts: 7 } }).methodConfig.retryPolicy?.maxAttempts).toBe(14);
  expect(rules.with({ retry: false }).methodConfig.retryPolicy).toBeUndefined();
  expect(
    rules.with({ retry: false }).with({ zone: "a" }).configOf(repeatable, 0).retryPolicy,
  ).toBeUndefined();
  expect(serve({ policy: grpcPolicy("round_robin") }).rules.methodConfig.retryPolicy).toBeUndefined();
});

it("hedges by the service's option, and not where a view has one attempt", () => {
  const { rules } = serve({ hedge: { afterMs: 20 } });
  expect(rules.with({ zone: "a" }).configOf(repeatable, 0).hedgingPolicy?.hedgingDelay).toBe("0.020s");
  expect(rules.with({ retry: false }).configOf(repeatable, 0).hedgingPolicy).toBeUndefined();
});

it("adds up in views of views", () => {
  const { rules } = serve();
  const view = rules.with({ totalMs: 100, hashKey: "ada" }).with({ attemptMs: 20, retry: { attempts: 2 } });
  expect(view.rules).toMatchObject({ totalMs: 100, attemptMs: 20, hashKey: "ada", retry: { attempts: 2 } });
  expect(view.deadlineMs).toBe(100);
  expect(rules.with({ attemptMs: 20 }).deadlineMs).toBeUndefined();
});

it("is carried by a copy of the metadata, which keeps its own options", () => {
  const { rules } = serve();
  const view = rules.with({ zone: "a" });
  const metadata = new Metadata({ waitForReady: true });
  metadata.set("x-user", "ada");
  const marked = view.mark(metadata);
  // As grpc-js does it on the way to the ConfigSelector.
  const cloned = marked.clone();
  expect(rulesIn(cloned.getOptions())).toBe(view);
  expect(cloned.getOptions().waitForReady).toBe(true);
  expect(cloned.toHttp2Headers()).toEqual({ "x-user": "ada" });
  expect(rulesIn(metadata.getOptions())).toBeUndefined();
});

it("holds for calls of its own service only, wherever the metadata gets to", () => {
  const service = serve();
  const view = service.rules.with({ hashKey: "ada", attemptMs: 5 });
  const rulesOf = (channel: GrpcService) =>
    (channel.selector(undefined).invoke(get.path, view.mark(new Metadata())) as unknown as GrpcCall).rules;
  expect(rulesOf(service)).toBe(view.rules);
  const other = serve({ name: "users" });
  expect(rulesOf(other)).toBe(other.cluster.rules);
});

it("has its priority go before that of the handler, unless it is the default", () => {
  const service = serve();
  const priorityOf = (options: WithOptions) =>
    runInContext(new CallContext({ endsAt: Number.POSITIVE_INFINITY, priority: "critical" }), () => {
      const marked = service.rules.with(options).mark(new Metadata());
      return (service.selector(undefined).invoke(get.path, marked) as unknown as GrpcCall).priority;
    });
  expect(priorityOf({ priority: "sheddable" })).toBe("sheddable");
  expect(priorityOf({ priority: "default" })).toBe("critical");
  expect(priorityOf({ zone: "a" })).toBe("critical");
});

describe("the interceptor", () => {
  /** What reaches the next one for a call with these options. */
  function intercept(interceptor: Interceptor, options: object): { readonly deadline?: number } {
    let reached: object = {};
    interceptor({ method_definition: get, ...options } as never, (next) => {
      reached = next;
      return {} as InterceptingCall;
    });
    return reached;
  }

  it("gives unary calls the view's totalMs as their deadline, and never more than they have", () => {
    const service = serve();
    const interceptor = createInterceptor(service, service.rules.with({ totalMs: 5_000 }));
    const before = Date.now();
    const { deadline = 0 } = intercept(interceptor, {});
    expect(deadline).toBeGreaterThanOrEqual(before + 5_000);
    expect(deadline).toBeLessThanOrEqual(Date.now() + 5_000);
    expect(intercept(interceptor, { deadline: before + 1_000 }).deadline).toBe(before + 1_000);
    expect(intercept(interceptor, { method_definition: list }).deadline).toBeUndefined();
    const other = createInterceptor(service, service.rules.with({ attemptMs: 5 }));
    expect(intercept(other, {}).deadline).toBeUndefined();
  });
});

describe("what has no effect over gRPC", () => {
  it("is refused by its name", () => {
    const { rules } = serve();
    expect(() => rules.with({ retry: { statuses: [503] } })).toThrow(
      new TypeError("retry.statuses is of no use over gRPC: UNAVAILABLE alone is tried again"),
    );
    expect(() => rules.with({ retry: { methods: ["GET"] } })).toThrow(
      new TypeError('retry.methods must hold full paths (/package.Service/Method), got "GET"'),
    );
    expect(() => rules.with({ hashkey: "ada" } as never)).toThrow("hashKey");
    expect(() => rules.with({ retry: { budget: false } as never })).toThrow("budget");
    expect(() => rules.with({ attemptMs: 0 })).toThrow(RangeError);
  });

  it("is nearly everything under a policy of grpc-js' own", () => {
    const policy = grpcPolicy("round_robin");
    const { rules } = serve({ policy });
    for (const options of [{ attemptMs: 5 }, { retry: false }, { hashKey: "ada" }, { zone: "a" }] as const) {
      expect(() => rules.with(options)).toThrow(/is of no use under grpc round_robin/);
    }
    expect(() => rules.with({ idempotent: true })).toThrow(TypeError);
    expect(() => rules.with({ priority: "critical" })).toThrow(TypeError);
    expect(rules.with({ totalMs: 5, zone: undefined }).deadlineMs).toBe(5);
    const limited = serve({ policy, limits: { inflight: 1 } });
    expect(limited.rules.with({ priority: "critical" }).rules.priority).toBe("critical");
  });
});
