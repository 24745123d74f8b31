/** Tests what is known of a method before, while and after its definition passes by. */
import { expect, it } from "vitest";
import { resolveOptions } from "../cluster/options.ts";
import { Methods } from "./methods.ts";

const list = { path: "/shop.Orders/List", requestStream: false, responseStream: true };
const get = { path: "/shop.Orders/Get", requestStream: false, responseStream: false };

function methods(retry: Parameters<typeof resolveOptions>[0]["retry"]): Methods {
  return new Methods(resolveOptions({ name: "orders", discovery: [], retry }).retry);
}

it("takes a method for unary until it is seen to be a stream", () => {
  const known = methods({ methods: [list.path] });
  expect(known.of(list.path)).toEqual({ path: list.path, isStream: false, isKnown: false, mayRepeat: true });
  known.learn(list as never);
  expect(known.of(list.path)).toEqual({ path: list.path, isStream: true, isKnown: true, mayRepeat: true });
});

it("tells upper from lower case in paths, and repeats no HTTP method's name", () => {
  const known = methods({ methods: [get.path] });
  expect(known.of(get.path).mayRepeat).toBe(true);
  expect(known.of("/shop.Orders/GET").mayRepeat).toBe(false);
  expect(methods({}).of(get.path).mayRepeat).toBe(false);
});

it("goes by idempotency_level only where it is told to, and by nothing that passes by", () => {
  const safe = { ...get, options: { idempotency_level: "NO_SIDE_EFFECTS" } };
  const known = methods({ methods: "idempotency_level" });
  known.learn(get as never);
  expect(known.of(get.path).mayRepeat).toBe(false);
  known.define(safe as never);
  known.learn(get as never);
  expect(known.of(get.path).mayRepeat).toBe(true);
  known.define({ ...list, options: { idempotency_level: "IDEMPOTENCY_UNKNOWN" } } as never);
  expect(known.of(list.path)).toMatchObject({ isStream: true, mayRepeat: false });

  const other = methods({ methods: [] });
  other.define(safe as never);
  expect(other.of(get.path).mayRepeat).toBe(false);
});
