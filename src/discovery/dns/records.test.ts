/** Tests of how records become endpoints. */
import { describe, expect, it } from "vitest";
import { fromAddresses, fromServices, isRefusal, type SrvRecord, ttlMsOf } from "./records.ts";

const itself = (target: string): readonly string[] => [target];
const srv = (name: string, priority = 0, weight = 1, port = 80): SrvRecord => ({
  name,
  port,
  priority,
  weight,
});

describe("addresses", () => {
  it("come in one order however the server rotates them, each once, IPv6 in brackets", () => {
    const records = ["10.0.0.2", "10.0.0.1", "10.0.0.2"].map((address) => ({ address, ttl: 5 }));
    const expected = [{ address: "10.0.0.1:8080" }, { address: "10.0.0.2:8080" }];
    expect(fromAddresses(records, 8080)).toEqual(expected);
    expect(fromAddresses(records.reverse(), 8080)).toEqual(expected);
    expect(fromAddresses([{ address: "2001:db8::1", ttl: 5 }], 80)).toEqual([
      { address: "[2001:db8::1]:80" },
    ]);
    expect(fromAddresses([{ address: "2001:db8::1", ttl: 5 }], undefined)).toEqual([
      { address: "[2001:db8::1]" },
    ]);
  });

  it("live as long as the shortest-lived of them", () => {
    expect(
      ttlMsOf([
        { address: "10.0.0.1", ttl: 60 },
        { address: "10.0.0.2", ttl: 7 },
      ]),
    ).toBe(7_000);
    expect(ttlMsOf([])).toBeUndefined();
  });
});

describe("services", () => {
  it("become tiers by the rank of their priority, whatever its number", () => {
    const records = [srv("c", 65_535), srv("a", 10), srv("b", 20)];
    expect(fromServices(records, itself)).toEqual([
      { address: "a:80", weight: 1, priority: 0 },
      { address: "b:80", weight: 1, priority: 1 },
      { address: "c:80", weight: 1, priority: 2 },
    ]);
    const many = Array.from({ length: 200 }, (_, index) => srv(`n${index}`, index));
    expect(Math.max(...fromServices(many, itself).map(({ priority = 0 }) => priority))).toBe(127);
  });

  it("keep their weights; weight 0 is an even share among zeros, and next to nothing beside others", () => {
    const records = [
      srv("a", 1, 3),
      srv("b", 1, 0),
      srv("c", 2, 0),
      srv("d", 2, 0),
      srv("e", 3, 65_535),
      srv("f", 3, 1),
    ];
    expect(fromServices(records, itself).map(({ weight }) => weight)).toEqual([3, 0.01, 1, 1, 65_535, 1]);
  });

  it("have an endpoint for each address of their target, the first record winning a shared one", () => {
    const addresses: Record<string, readonly string[]> = {
      a: ["10.0.0.2", "10.0.0.1"],
      b: ["10.0.0.2"],
      c: [],
    };
    const records = [srv("b", 1, 9), srv("a", 0, 5), srv("c", 0, 5)];
    expect(fromServices(records, (target) => addresses[target] ?? [])).toEqual([
      { address: "10.0.0.1:80", weight: 5, priority: 0 },
      { address: "10.0.0.2:80", weight: 5, priority: 0 },
    ]);
    // The same target at another port is another instance.
    expect(fromServices([srv("a", 0, 1, 80), srv("a", 0, 1, 81)], itself)).toHaveLength(2);
  });

  it("are refused by the root as their only target", () => {
    expect(isRefusal([srv("")])).toBe(true);
    expect(isRefusal([srv(".")])).toBe(true);
    expect(isRefusal([srv("a")])).toBe(false);
    expect(isRefusal([])).toBe(false);
  });
});
