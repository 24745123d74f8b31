/** Tests of the checker: what it refuses, and which objects it keeps from snapshot to snapshot. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CheckedEndpoint, Endpoint } from "../core/endpoint.ts";
import { EndpointChecker } from "./checker.ts";

function createHarness(scheme: "http" | "https" = "http"): {
  /** Checks a snapshot: the good ones, and what was said about the rest. */
  check(...endpoints: unknown[]): { readonly good: readonly CheckedEndpoint[]; readonly errors: string[] };
} {
  const checker = new EndpointChecker({ scheme });
  return {
    check(...endpoints) {
      const errors: string[] = [];
      const good = checker.check(endpoints as Endpoint[], ({ message }) => errors.push(message));
      return { good, errors };
    },
  };
}

function keysOf(endpoints: readonly CheckedEndpoint[]): readonly string[] {
  return endpoints.map(({ address }) => address.text);
}

describe("EndpointChecker", () => {
  it("refuses bad endpoints alone and names each", () => {
    const { check } = createHarness();
    const { good, errors } = check(
      "10.0.0.1:80",
      { address: "http://10.0.0.2", weight: Number.NaN },
      null,
      { address: "http://10.0.0.3", weight: 0 },
      "ftp://10.0.0.4",
      { address: "http://10.0.0.5", metadata: JSON.parse('{"__proto__": {"polluted": true}}') },
      { address: "http://10.0.0.6", weight: 1e308 },
      { address: "http://10.0.0.7", priority: -1 },
    );
    expect(keysOf(good)).toEqual(["http://10.0.0.1", "http://10.0.0.3"]);
    expect(good[1]?.weight).toBe(0);
    expect(errors).toEqual([
      expect.stringContaining("http://10.0.0.2"),
      expect.stringContaining("got null"),
      expect.stringContaining("ftp://10.0.0.4"),
      expect.stringMatching(/http:\/\/10\.0\.0\.5.*__proto__/),
      expect.stringContaining("http://10.0.0.6"),
      expect.stringContaining("http://10.0.0.7"),
    ]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("takes the first of several spellings of one instance and names both", () => {
    const { check } = createHarness();
    const { good, errors } = check(
      { address: "10.0.0.1:80", weight: 2 },
      { address: "http://[::ffff:10.0.0.1]", weight: 3 },
      "[::1]:80",
      "http://[0:0:0:0:0:0:0:1]/",
    );
    expect(keysOf(good)).toEqual(["http://10.0.0.1", "http://[::1]"]);
    expect(good[0]?.weight).toBe(2);
    expect(errors).toEqual([
      'endpoint "http://[::ffff:10.0.0.1]" is the same instance as "10.0.0.1:80", listed before it',
      'endpoint "http://[0:0:0:0:0:0:0:1]/" is the same instance as "[::1]:80", listed before it',
    ]);
  });

  it("gives an address without a scheme the cluster's", () => {
    expect(keysOf(createHarness("https").check("a", "a:80", "http://a").good)).toEqual([
      "https://a",
      "https://a:80",
      "http://a",
    ]);
  });

  it("keeps the object of an endpoint that says the same, and makes a new one for each change", () => {
    const { check } = createHarness();
    const endpoint = { address: "http://a", weight: 2, zone: "x", priority: 1, metadata: { version: "1" } };
    const [before] = check(endpoint).good;
    expect(check({ ...endpoint, metadata: { version: "1" } }).good[0]).toBe(before);
    const changes: Partial<Endpoint>[] = [
      { weight: 3 },
      { zone: "y" },
      { priority: 0 },
      { metadata: { version: "2" } },
      { metadata: { version: "1", more: undefined } },
      { metadata: { revision: "1" } },
      { metadata: {} },
      { metadata: undefined },
    ];
    for (const change of changes) {
      check(endpoint);
      const changed = { ...endpoint, ...change };
      const [after] = check(changed).good;
      expect(after).toMatchObject({ weight: changed.weight, zone: changed.zone, priority: changed.priority });
      expect(after).not.toBe(check(endpoint).good[0]);
    }
  });

  it("sees a change that was made in place", () => {
    const { check } = createHarness();
    const endpoint = { address: "http://a", weight: 1, metadata: { version: "1" } };
    expect(check(endpoint).good[0]?.weight).toBe(1);
    endpoint.weight = 2;
    expect(check(endpoint).good[0]?.weight).toBe(2);
    endpoint.metadata.version = "2";
    expect(check(endpoint).good[0]?.metadata).toEqual({ version: "2" });
  });

  it("compares nested metadata by value, as parsers make new objects", () => {
    const { check } = createHarness();
    const parse = (rack: number): Endpoint => ({ address: "http://a", metadata: { place: { rack } } });
    const [before] = check(parse(1)).good;
    expect(check(parse(1)).good[0]).toBe(before);
    expect(check(parse(2)).good[0]).not.toBe(before);
  });

  it("takes defaults, written out or not, and another spelling for the same", () => {
    const { check } = createHarness();
    const [before] = check("http://a").good;
    expect(check({ address: "http://a", weight: 1, priority: 0, metadata: {} }).good[0]).toBe(before);
    expect(check({ address: "HTTP://A:80/" }).good[0]).toBe(before);
    expect(check("http://a").good[0]).toBe(before);
  });

  it("finds the objects again after an empty snapshot", () => {
    const { check } = createHarness();
    const [before] = check("http://a").good;
    expect(check().good).toEqual([]);
    expect(check({ address: "http://a", weight: -1 }).good).toEqual([]);
    expect(check("http://a").good[0]).toBe(before);
  });

  it("forgets what has gone", () => {
    const { check } = createHarness();
    const [before] = check("http://a", "http://b").good;
    check("http://b");
    expect(check("http://a", "http://b").good[0]).not.toBe(before);
  });

  it("says what is wrong once, for as long as it stays", () => {
    const { check } = createHarness();
    const bad = { address: "http://a", weight: -1 };
    expect(check(bad, "http://b", "b").errors).toHaveLength(2);
    expect(check(bad, "http://b", "b").errors).toEqual([]);
    expect(check({ ...bad, weight: -2 }, "http://b").errors).toEqual([expect.stringContaining("-2")]);
    expect(check("http://b").errors).toEqual([]);
    expect(check(bad, "http://b").errors).toEqual([expect.stringContaining("-1")]);
  });

  it("names the first hundred of very many bad ones and counts the rest", () => {
    const { check } = createHarness();
    const bads = Array.from({ length: 250 }, (_, index) => `ftp://host${index}`);
    const { errors } = check(...bads);
    expect(errors).toHaveLength(101);
    expect(errors.at(-1)).toContain("150 more");
    expect(check(...bads).errors).toEqual([]);
  });

  it("refuses a snapshot that is no list of endpoints as a whole", () => {
    const checker = new EndpointChecker({ scheme: "http" });
    const check = (snapshot: unknown) => () => checker.check(snapshot as Endpoint[], () => {});
    expect(check(null)).toThrow(new TypeError("a snapshot must be an array of endpoints, got null"));
    expect(check({ endpoints: [] })).toThrow(TypeError);
    expect(check("http://a")).toThrow(TypeError);
    expect(check(new Array(100_001))).toThrow(RangeError);
  });

  it("survives endpoints that throw when looked at", () => {
    const { check } = createHarness();
    const trap = {
      get address(): string {
        throw new Error("trap");
      },
    };
    const odd = { address: "http://odd", weight: Object.create(null) };
    const { good, errors } = check(trap, odd, "http://a");
    expect(keysOf(good)).toEqual(["http://a"]);
    expect(errors).toHaveLength(2);
  });

  it("says the same as a checker without memory, whatever came before", () => {
    const endpoint = fc.record(
      {
        address: fc.constantFrom("http://a", "a:80", "HTTP://A/", "http://b", "b:81", "ftp://c", ""),
        weight: fc.constantFrom(0, 1, 2, -1, Number.NaN),
        zone: fc.constantFrom("x", "y"),
        priority: fc.constantFrom(0, 1, 200),
        metadata: fc.constantFrom({}, { v: 1 }, { v: 2 }, { w: 1 }, { v: { deep: 1 } }, { v: { deep: 2 } }),
      },
      { requiredKeys: ["address"] },
    );
    const item = fc.oneof(endpoint, fc.constantFrom<unknown>("http://a", "a", null, 7));
    fc.assert(
      fc.property(fc.array(fc.array(item, { maxLength: 6 }), { maxLength: 6 }), (snapshots) => {
        const { check } = createHarness();
        let before = new Map<string, CheckedEndpoint>();
        for (const snapshot of snapshots) {
          const { good } = check(...snapshot);
          const expected = createHarness().check(...snapshot).good;
          expect(good).toEqual(expected);
          const now = new Map(good.map((checked) => [checked.address.text, checked]));
          expect(now.size).toBe(good.length);
          for (const [key, checked] of now) {
            const old = before.get(key);
            if (old !== undefined && JSON.stringify(old) === JSON.stringify(checked))
              expect(checked).toBe(old);
          }
          if (good.length > 0) before = now;
        }
      }),
    );
  });
});
