/**
 * What every policy must keep to, as checks without a test framework.
 *
 * Chance is seeded, so a policy passes or fails each time alike. By its nature the test of an even spread fails a
 * sound policy for one seed in a hundred: should a new policy meet such a seed, show it with others before
 * changing the check.
 *
 * @example
 * for (const check of policyContract((random) => leastCost({ random }))) test(check.name, check.run);
 */
import assert from "node:assert/strict";
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import { checkEndpoint } from "../core/endpoint.ts";
import { Fleet } from "../core/fleet.ts";
import { Node } from "../core/node.ts";
import { success } from "../core/outcome.ts";
import { createSeededRandom, type Random } from "../core/random.ts";

/** What holds only for some policies. */
export interface PolicyContractOptions {
  /** Calls follow the nodes' weights. Default true; false for plain round robin. */
  readonly weighted?: boolean | undefined;
  /** Equal nodes get equal shares. Default true; false for hashing, which is only roughly even. */
  readonly even?: boolean | undefined;
}

export interface PolicyCheck {
  readonly name: string;
  /** @throws AssertionError when the policy breaks the contract. */
  run(): void;
}

/** Around the limits of algorithms that treat small and large sets differently. */
const sizes = [1, 2, 63, 64, 65, 1_000];
/** Five nodes of which one weighs double: its fair share is a third. */
const oneDouble = [2, 1, 1, 1, 1];

/** The checks for the policies that `createPolicy` makes. */
export function policyContract(
  createPolicy: (random: Random) => Policy,
  { weighted = true, even = true }: PolicyContractOptions = {},
): readonly PolicyCheck[] {
  const seeded = (seed: number): Policy => createPolicy(createSeededRandom(seed));
  const checks: PolicyCheck[] = [];
  const check = (name: string, run: () => void): void => {
    checks.push({ name, run });
  };

  for (const size of sizes) {
    const ofSize = `${size} ${size === 1 ? "node" : "nodes"}`;
    check(`${ofSize}: picks only nodes of the set and leaves the array as it was`, () => {
      const nodes = createNodes(equalWeights(size));
      const copy = [...nodes];
      const picker = seeded(1).build(nodes);
      for (let call = 0; call < 500; call++) assertMember(nodes, picker.pick(createCall(call)));
      assert.deepEqual(nodes, copy, "the array of nodes was changed");
      const frozen = seeded(1).build(Object.freeze([...nodes]));
      assertMember(nodes, frozen.pick(createCall(0)));
    });
    check(`${ofSize}: reaches every node`, () => {
      const nodes = createNodes(equalWeights(size));
      const picker = seeded(2).build(nodes);
      const missing = new Set(nodes);
      for (let call = 0; missing.size > 0 && call < 50 * size; call++) {
        missing.delete(picker.pick(createCall(call)) as Node);
      }
      assert.equal(missing.size, 0, `${missing.size} of ${ofSize} were never picked`);
    });
    check(`${ofSize}: never picks a tried node, and finds the last one untried`, () => {
      const nodes = createNodes(equalWeights(size));
      assertTriedIsObeyed(seeded(3).build(nodes), nodes, createSeededRandom(4));
    });
  }

  check("finds an untried node whatever state the nodes are in", () => {
    const random = createSeededRandom(5);
    for (const size of [2, 5, 100]) {
      const nodes = createNodes(Array.from({ length: size }, () => 10 ** (6 * random() - 3)));
      for (const node of nodes) {
        node.fresh = random() < 0.5;
        node.failureRate = random();
        node.latencyMs = random() < 0.1 ? 0 : 10 ** (5 * random());
        node.weight *= random() < 0.5 ? 1 : 0.1;
        for (let begun = Math.floor(random() * 5); begun > 0; begun--) node.begin();
      }
      assertTriedIsObeyed(seeded(6).build(nodes), nodes, random);
      for (const node of nodes) node.fresh = true;
      assertTriedIsObeyed(seeded(6).build(nodes), nodes, random);
    }
  });

  check("picks the same for the same seed", () => {
    const nodes = createNodes(equalWeights(100));
    const first = seeded(7).build(nodes);
    const second = seeded(7).build(nodes);
    for (let call = 0; call < 200; call++) {
      assert.equal(second.pick(createCall(call)), first.pick(createCall(call)));
    }
  });

  check("carries on over a change of the set, with only the nodes of the new one", () => {
    const policy = seeded(8);
    const nodes = createNodes(equalWeights(100));
    let picker = policy.build(nodes);
    for (let round = 0; round < 300; round++) {
      const present = nodes.filter((_, index) => (index + round) % 4 !== 0);
      picker = policy.build(present, picker);
      for (let call = 0; call < 3; call++) assertMember(present, picker.pick(createCall(call)));
    }
    const others = createNodes(equalWeights(3), "10.9.0");
    assertMember(others, policy.build(others, picker).pick(createCall(0)));
    assertMember(others, policy.build(others, { pick: () => undefined }).pick(createCall(0)));
  });

  if (even) {
    check("spreads the calls of one client evenly", () => {
      for (const size of [5, 10, 65]) {
        const nodes = createNodes(equalWeights(size));
        const counts = countOneAtATime(seeded(9).build(nodes), nodes, 200 * size);
        assertSpread(counts, equalWeights(size), `${size} nodes`);
      }
    });
    check("spreads the first calls of many clients evenly", () => {
      for (const size of [5, 10, 65]) {
        const nodes = createNodes(equalWeights(size));
        assertSpread(countFirstPicks(seeded, nodes, 60 * size), equalWeights(size), `${size} nodes`);
      }
    });
    check("spreads evenly when the picker is rebuilt before each call", () => {
      const nodes = createNodes(equalWeights(5));
      const policy = seeded(10);
      let picker: Picker | undefined;
      const counts = new Array<number>(5).fill(0);
      for (let call = 0; call < 5_000; call++) {
        picker = policy.build(nodes, picker);
        countIn(counts, nodes, picker.pick(createCall(call)));
      }
      assertSpread(counts, equalWeights(5), "rebuilt each time");
    });
    check("gives five equal nodes a fifth each, under concurrency too", () => {
      const nodes = createNodes(equalWeights(5));
      assertShares(countOneAtATime(seeded(11).build(nodes), nodes, 20_000), equalWeights(5), 0.015);
      assertShares(countConcurrent(seeded(12).build(nodes), nodes, 20_000, 20), equalWeights(5), 0.015);
    });
  }

  if (weighted) {
    check("gives a node of weight 2 among 6 a third, with calls one at a time", () => {
      const nodes = createNodes(oneDouble);
      assertShares(countOneAtATime(seeded(13).build(nodes), nodes, 20_000), oneDouble, 0.015);
    });
    check("gives a node of weight 2 among 6 a third, under concurrency", () => {
      // From about one call a node on; with fewer, shares depend on how an algorithm weighs a single call.
      for (const concurrency of [6, 20, 100]) {
        const nodes = createNodes(oneDouble);
        const counts = countConcurrent(seeded(14).build(nodes), nodes, 20_000, concurrency);
        assertShares(counts, oneDouble, 0.03, `${concurrency} calls in flight`);
      }
    });
    check("follows the weights in a set of 200 nodes", () => {
      const weights = Array.from({ length: 200 }, (_, index) =>
        index === 0 ? 100 : index % 2 === 0 ? 4 : 1,
      );
      const nodes = createNodes(weights);
      const counts = countOneAtATime(seeded(15).build(nodes), nodes, 40_000);
      const heavy = sum(counts.filter((_, index) => index > 0 && index % 2 === 0));
      const light = sum(counts.filter((_, index) => index % 2 === 1));
      // 100 + 99 * 4 + 100 * 1 in all.
      assertShares([counts[0] as number, heavy, light], [100, 396, 100], 0.015);
    });
    check("obeys a weight that changes while the picker stands, as in a warm-up", () => {
      for (const size of [5, 100]) {
        const nodes = createNodes(equalWeights(size));
        const [warming] = nodes as [Node, ...Node[]];
        warming.weight = 0.1;
        const weights = equalWeights(size);
        const picker = seeded(16).build(nodes);
        for (const weight of [0.1, 0.5, 1]) {
          warming.weight = weight;
          weights[0] = weight;
          assertShares(countOneAtATime(picker, nodes, 20_000), weights, 0.015, `weight ${weight}`);
        }
      }
    });
  }
  return checks;
}

/** Idle nodes of the given weights, which have answered before. */
export function createNodes(weights: readonly number[], network = "10.0.0"): Node[] {
  const fleet = new Fleet();
  return weights.map((weight, index) => {
    return new Node(checkEndpoint({ address: `http://${network}.1:${index + 1}`, weight }), fleet, 0, false);
  });
}

/** As many weights of 1 as there are nodes. */
export function equalWeights(count: number): number[] {
  return new Array<number>(count).fill(1);
}

/** The `index`th of many calls, each with a hash key of its own. */
export function createCall(index = 0, tried: readonly Node[] = []): CallInfo {
  return {
    method: "GET",
    path: `/items/${index}`,
    hashKey: `key-${index}`,
    header: () => undefined,
    tried,
  };
}

/**
 * Asserts that counts are in proportion to the expected parts, by Pearson's chi-square test: a spread at least as
 * uneven comes by chance with a probability of more than 0.01.
 */
export function assertSpread(counts: readonly number[], parts: readonly number[], what: string): void {
  const calls = sum(counts);
  const whole = sum(parts);
  let chiSquare = 0;
  for (const [index, count] of counts.entries()) {
    const expected = (calls * (parts[index] as number)) / whole;
    chiSquare += (count - expected) ** 2 / expected;
  }
  // Wilson and Hilferty (1931): the cube root of chi-square / freedom is close to normal.
  const freedom = counts.length - 1;
  const variance = 2 / (9 * freedom);
  const deviation = (Math.cbrt(chiSquare / freedom) - (1 - variance)) / Math.sqrt(variance);
  // The standard normal distribution leaves 0.01 above 2.326.
  assert.ok(deviation < 2.326, `${what}: chi-square ${chiSquare} with ${freedom} degrees: ${counts}`);
}

/** Asserts that each share of the calls is within `tolerance` of its part. */
export function assertShares(
  counts: readonly number[],
  parts: readonly number[],
  tolerance: number,
  what = "shares",
): void {
  const calls = sum(counts);
  const whole = sum(parts);
  for (const [index, count] of counts.entries()) {
    const expected = (parts[index] as number) / whole;
    const off = Math.abs(count / calls - expected);
    assert.ok(off <= tolerance, `${what}: node ${index} got ${count / calls}, expected ${expected}`);
  }
}

/** Each call ends before the next begins. */
export function countOneAtATime(picker: Picker, nodes: readonly Node[], calls: number): number[] {
  return countConcurrent(picker, nodes, calls, 1);
}

/** Calls end at random, so that `concurrency - 1` are in flight whenever one is picked for. */
export function countConcurrent(
  picker: Picker,
  nodes: readonly Node[],
  calls: number,
  concurrency: number,
  random: Random = createSeededRandom(17),
): number[] {
  const counts = new Array<number>(nodes.length).fill(0);
  const busy: Node[] = [];
  for (let call = 0; call < calls; call++) {
    const node = countIn(counts, nodes, picker.pick(createCall(call)));
    node.begin();
    busy.push(node);
    if (busy.length < concurrency) continue;
    const [ended] = busy.splice(Math.floor(random() * busy.length), 1);
    ended?.end(success, 0);
  }
  for (const node of busy) node.end(success, 0);
  return counts;
}

function countFirstPicks(
  seeded: (seed: number) => Policy,
  nodes: readonly Node[],
  clients: number,
): readonly number[] {
  const counts = new Array<number>(nodes.length).fill(0);
  for (let client = 0; client < clients; client++) {
    countIn(
      counts,
      nodes,
      seeded(1_000 + client)
        .build(nodes)
        .pick(createCall(client)),
    );
  }
  return counts;
}

function countIn(counts: number[], nodes: readonly Node[], node: Node | undefined): Node {
  const index = assertMember(nodes, node);
  counts[index] = (counts[index] as number) + 1;
  return nodes[index] as Node;
}

function assertMember(nodes: readonly Node[], node: Node | undefined): number {
  assert.ok(node !== undefined, "nothing was picked although a node is left");
  const index = nodes.indexOf(node);
  assert.ok(index >= 0, `${node.key} was picked, which is not in the set`);
  return index;
}

function assertTriedIsObeyed(picker: Picker, nodes: readonly Node[], random: Random): void {
  for (let call = 0; call < 50; call++) {
    const last = nodes[Math.floor(random() * nodes.length)] as Node;
    const some = nodes.filter((node) => node !== last && random() < 0.5);
    const node = picker.pick(createCall(call, some));
    assertMember(nodes, node);
    assert.ok(!some.includes(node as Node), `${node?.key} was picked although it was tried`);
    const allButOne = nodes.filter((other) => other !== last);
    assert.equal(picker.pick(createCall(call, allButOne)), last, "the one node left was not found");
  }
  assert.equal(picker.pick(createCall(0, nodes)), undefined, "a node was picked although all were tried");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
