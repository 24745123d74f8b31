/** Tests of the list that the program itself changes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Endpoint } from "../core/endpoint.ts";
import { discoveryContract } from "../testing/discovery-contract.ts";
import { type ListDiscovery, list } from "./list.ts";

function addressesOf(discovery: ListDiscovery): readonly string[] {
  return discovery.endpoints.map(({ address }) => address);
}

/** Everything that a subscriber is handed, as addresses. */
function record(discovery: ListDiscovery): { readonly sets: string[][]; readonly end: () => void } {
  const sets: string[][] = [];
  const end = discovery.subscribe((endpoints) => sets.push(endpoints.map(({ address }) => address)));
  return { sets, end };
}

describe("list", () => {
  it("holds addresses of gRPC as they are written, and finds them in any spelling", () => {
    const nodes = list(["grpc://10.0.0.1:50051", "grpcs://10.0.0.2:50051"]);
    expect(addressesOf(nodes)).toEqual(["grpc://10.0.0.1:50051", "grpcs://10.0.0.2:50051"]);
    expect(nodes.remove("10.0.0.1:50051")).toBe(true);
    expect(nodes.remove("https://10.0.0.2:50051")).toBe(true);
    expect(nodes.endpoints).toEqual([]);
  });

  it("hands the present set and every change to each subscriber at once", () => {
    const nodes = list(["http://a"]);
    const one = record(nodes);
    const two = record(nodes);
    nodes.set(["http://b"]);
    nodes.add({ address: "http://c", weight: 2 });
    expect(nodes.remove("http://b")).toBe(true);
    const expected = [["http://a"], ["http://b"], ["http://b", "http://c"], ["http://c"]];
    expect(one.sets).toEqual(expected);
    expect(two.sets).toEqual(expected);
    one.end();
    nodes.set([]);
    expect(one.sets).toEqual(expected);
    expect(two.sets).toEqual([...expected, []]);
  });

  it("replaces an endpoint whose address is known, in its place", () => {
    const nodes = list(["http://a", "http://b"]);
    nodes.add({ address: "HTTP://A:80/", weight: 3 });
    expect(nodes.endpoints).toEqual([{ address: "HTTP://A:80/", weight: 3 }, { address: "http://b" }]);
  });

  it.each([
    ["10.0.0.1:80", "http://10.0.0.1"],
    ["http://[::ffff:10.0.0.1]:80", "10.0.0.1"],
    ["unix:///run/x.sock", "unix:/run/x.sock"],
    // What a cluster whose scheme is https calls its nodes.
    ["10.0.0.1:8080", "https://10.0.0.1:8080"],
    ["https://10.0.0.1:8080", "10.0.0.1:8080"],
  ])("removes %s as %s", (written, spelling) => {
    const nodes = list([written, "http://other"]);
    expect(nodes.remove(spelling)).toBe(true);
    expect(addressesOf(nodes)).toEqual(["http://other"]);
  });

  it("takes an address without a scheme for http before https", () => {
    const nodes = list(["https://a:8080", "http://a:8080"]);
    expect(nodes.remove("a:8080")).toBe(true);
    expect(addressesOf(nodes)).toEqual(["https://a:8080"]);
  });

  it("never takes http for https", () => {
    const nodes = list(["http://a:8080"]);
    expect(nodes.remove("https://a:8080")).toBe(false);
    expect(nodes.remove("http://a:443")).toBe(false);
  });

  it("answers false, and tells nobody, when there is nothing to remove", () => {
    const nodes = list(["http://a"]);
    const { sets } = record(nodes);
    expect(nodes.remove("http://b")).toBe(false);
    expect(sets).toHaveLength(1);
  });

  it.each([
    [null, TypeError, /endpoints\[1\] must be an address or an object, got null/],
    [7, TypeError, /endpoints\[1\] must be an address or an object, got number/],
    [["http://b"], TypeError, /endpoints\[1\] must be an address or an object, got an array/],
    [{}, TypeError, /endpoints\[1\]\.address must be a string, got undefined/],
    ["http://b/path", RangeError, /endpoints\[1\].*http:\/\/b\/path/],
    [{ address: "http://b", weight: -1 }, RangeError, /endpoints\[1\].*weight of http:\/\/b .*-1/],
    [{ address: "http://b", weight: Number.NaN }, RangeError, /NaN/],
  ])("refuses %j and changes nothing", (bad, type, message) => {
    const nodes = list(["http://a"]);
    const { sets } = record(nodes);
    const bads = ["http://x", bad] as Endpoint[];
    expect(() => list(bads)).toThrow(type);
    expect(() => nodes.set(bads)).toThrow(message);
    expect(() => nodes.add(bad as Endpoint)).toThrow(type);
    expect(addressesOf(nodes)).toEqual(["http://a"]);
    expect(sets).toHaveLength(1);
  });

  it("refuses what is no array, and removals of what is no address", () => {
    expect(() => list("http://a" as unknown as string[])).toThrow(/endpoints must be an array, got string/);
    expect(() => list([]).remove("http://a/b")).toThrow(RangeError);
  });

  it("is not changed by what becomes of the objects it was given", () => {
    const endpoint = { address: "http://a", weight: 1, metadata: { version: "1" } };
    const nodes = list([endpoint]);
    endpoint.weight = 9;
    endpoint.metadata.version = "2";
    expect(nodes.endpoints).toEqual([{ address: "http://a", weight: 1, metadata: { version: "1" } }]);
    expect(Object.isFrozen(nodes.endpoints)).toBe(true);
  });

  it("ends every subscriber with the last set when one changes the list meanwhile", () => {
    const nodes = list(["http://a"]);
    nodes.subscribe((endpoints) => {
      if (endpoints.length === 2) nodes.remove("http://a");
    });
    const { sets } = record(nodes);
    nodes.add("http://b");
    expect(sets).toEqual([["http://a"], ["http://b"]]);
  });

  it("tells nobody who was unsubscribed meanwhile", () => {
    const nodes = list(["http://a"]);
    let end = (): void => {};
    nodes.subscribe((endpoints) => {
      if (endpoints.length === 0) end();
    });
    const recorded = record(nodes);
    end = recorded.end;
    nodes.set([]);
    expect(recorded.sets).toEqual([["http://a"]]);
  });

  it("tells all subscribers even if one throws, and then throws its error", () => {
    const nodes = list(["http://a"]);
    nodes.subscribe((endpoints) => {
      if (endpoints.length === 0) throw new Error("broken");
    });
    const { sets } = record(nodes);
    expect(() => nodes.set([])).toThrow("broken");
    expect(sets).toEqual([["http://a"], []]);
  });

  it("holds what a map by canonical address would, whatever is added and removed", () => {
    const spellings = (index: number): readonly string[] => [
      `10.0.0.${index}:80`,
      `HTTP://10.0.0.${index}/`,
      `http://[::ffff:10.0.0.${index}]`,
    ];
    const step = fc.record({
      isAdd: fc.boolean(),
      index: fc.nat(4),
      spelling: fc.nat(2),
      weight: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const nodes = list([]);
        const model = new Map<number, number>();
        for (const { isAdd, index, spelling, weight } of steps) {
          const address = spellings(index)[spelling] as string;
          if (isAdd) {
            nodes.add({ address, weight });
            model.set(index, weight);
          } else {
            expect(nodes.remove(address)).toBe(model.delete(index));
          }
        }
        expect(nodes.endpoints.map(({ weight }) => weight)).toEqual([...model.values()]);
      }),
    );
  });

  it("passes a slow watcher only the latest set", async () => {
    const nodes = list(["http://a"]);
    const controller = new AbortController();
    const watch = nodes.watch({ signal: controller.signal });
    expect((await watch.next()).value).toEqual([{ address: "http://a" }]);
    nodes.add("http://b");
    nodes.add("http://c");
    expect((await watch.next()).value).toHaveLength(3);
    const pending = watch.next();
    controller.abort();
    expect(await pending).toEqual({ done: true, value: undefined });
  });
});

describe("list as a source", () => {
  const contract = discoveryContract(async () => {
    const nodes = list([]);
    const subscribe = nodes.subscribe.bind(nodes);
    let open = 0;
    nodes.subscribe = (apply) => {
      const end = subscribe(apply);
      open++;
      return () => {
        open--;
        end();
      };
    };
    return {
      discovery: nodes,
      openHandles: () => open,
      publish: async (endpoints) => nodes.set(endpoints),
      // It refuses a bad endpoint where it is made.
      takesBadEndpoints: false,
      dispose: async () => {},
    };
  });
  for (const { name, run } of contract) it(name, run);
});
