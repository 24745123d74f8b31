/** Tests that snapshots are applied by key, and that no node loses its state by one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CheckedEndpoint, checkEndpoint } from "../core/endpoint.ts";
import { Fleet } from "../core/fleet.ts";
import { Node } from "../core/node.ts";
import { success } from "../core/outcome.ts";
import { applySnapshot, type Changes } from "./reducer.ts";

const nobody: ReadonlySet<string> = new Set();

function createHarness() {
  const nodes = new Map<string, Node>();
  const fleet = new Fleet();
  const created: Node[] = [];
  const apply = (endpoints: readonly CheckedEndpoint[], now = 0, suspects = nobody): Changes =>
    applySnapshot(
      nodes,
      endpoints,
      suspects,
      (endpoint) => {
        const node = new Node(endpoint, fleet, now, false);
        created.push(node);
        return node;
      },
      now,
    );
  return { nodes, created, apply };
}

const [a, b, c] = ["http://a", "http://b", "http://c"].map((address) => checkEndpoint(address)) as [
  CheckedEndpoint,
  CheckedEndpoint,
  CheckedEndpoint,
];
const keys = (nodes: readonly Node[]): string[] => nodes.map((node) => node.key);

describe("applySnapshot", () => {
  it("names what came, changed and went", () => {
    const { nodes, apply } = createHarness();
    expect(keys(apply([a, b]).added)).toEqual(["http://a", "http://b"]);
    const heavier = checkEndpoint({ address: "http://a", weight: 3 });
    const changes = apply([heavier, c], 7);
    expect(keys(changes.added)).toEqual(["http://c"]);
    expect(keys(changes.changed)).toEqual(["http://a"]);
    expect(keys(changes.removed)).toEqual(["http://b"]);
    expect(nodes.get("http://a")?.endpoint).toBe(heavier);
    expect(nodes.get("http://b")?.removedAt).toBe(7);
  });

  it("reports nothing for a snapshot that changes nothing", () => {
    const { apply } = createHarness();
    apply([a, b]);
    expect(apply([b, a])).toEqual({ added: [], changed: [], removed: [] });
  });

  it("keeps a node's state when its endpoint changes", () => {
    const { nodes, apply } = createHarness();
    apply([a]);
    const node = nodes.get("http://a") as Node;
    node.begin();
    node.begin();
    node.end(success, 5);
    apply([checkEndpoint({ address: "http://a", zone: "x" })], 10);
    expect(nodes.get("http://a")).toBe(node);
    expect(node).toMatchObject({ inflight: 1, calls: 1, since: 0, endpoint: { zone: "x" } });
  });

  it("revives a node that comes back while it drains, as the same node", () => {
    const { nodes, created, apply } = createHarness();
    apply([a, b]);
    const node = nodes.get("http://b") as Node;
    node.begin();
    apply([a], 5);
    expect(node.removedAt).toBe(5);
    const changes = apply([a, b], 9);
    expect(changes.added).toEqual([node]);
    expect(node).toMatchObject({ removedAt: undefined, inflight: 1 });
    expect(created).toHaveLength(2);
  });

  it("reports a removal once", () => {
    const { apply } = createHarness();
    apply([a, b]);
    expect(keys(apply([a], 5).removed)).toEqual(["http://b"]);
    expect(apply([a], 6).removed).toEqual([]);
  });

  it("marks suspects, and names a node once even when its endpoint changes too", () => {
    const { nodes, apply } = createHarness();
    apply([a, b]);
    const changes = apply([checkEndpoint({ address: "http://a", weight: 2 }), b], 1, new Set(["http://a"]));
    expect(nodes.get("http://a")?.suspect).toBe(true);
    expect(nodes.get("http://b")?.suspect).toBe(false);
    expect(keys(changes.changed)).toEqual(["http://a"]);
    expect(keys(apply([a, b], 2).changed)).toEqual(["http://a"]);
    expect(nodes.get("http://a")?.suspect).toBe(false);
  });

  it("names a node that comes back as a suspect only among the added", () => {
    const { apply } = createHarness();
    apply([a, b]);
    apply([a], 1);
    const changes = apply([a, b], 2, new Set(["http://b"]));
    expect(keys(changes.added)).toEqual(["http://b"]);
    expect(changes.changed).toEqual([]);
  });

  it("ends as the last snapshot says, by any way, with no node ever replaced", () => {
    const endpoint = fc.record({
      host: fc.integer({ min: 0, max: 7 }),
      weight: fc.integer({ min: 0, max: 3 }),
    });
    const snapshot = fc.uniqueArray(endpoint, { selector: ({ host }) => host, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(snapshot, { maxLength: 12 }), (snapshots) => {
        const { nodes, created, apply } = createHarness();
        for (const [now, wanted] of snapshots.entries()) {
          const before = new Map(nodes);
          const wasPresent = new Set(
            [...nodes.values()].filter(({ removedAt }) => removedAt === undefined).map(({ key }) => key),
          );
          const endpoints = wanted.map(({ host, weight }) =>
            checkEndpoint({ address: `http://h${host}`, weight }),
          );
          const { added, removed, changed } = apply(endpoints, now);
          const isPresent = new Set(endpoints.map(({ address }) => address.text));
          // Whoever was known is still the same object: nothing is cleared and filled again.
          for (const [key, node] of before) expect(nodes.get(key)).toBe(node);
          for (const [key, node] of nodes) {
            expect(node.removedAt === undefined).toBe(isPresent.has(key));
            if (isPresent.has(key)) {
              expect(node.endpoint).toBe(endpoints.find(({ address }) => address.text === key));
            }
          }
          expect(keys(added).sort()).toEqual([...isPresent].filter((key) => !wasPresent.has(key)).sort());
          expect(keys(removed).sort()).toEqual([...wasPresent].filter((key) => !isPresent.has(key)).sort());
          expect(keys(changed).sort()).toEqual([...isPresent].filter((key) => wasPresent.has(key)).sort());
        }
        expect(new Set(keys(created)).size).toBe(created.length);
      }),
    );
  });
});
