/** Tests what a node makes of the load reports in its answers: the formula of algorithms.md, and when it forgets. */
import { describe, expect, it } from "vitest";
import { checkEndpoint } from "./endpoint.ts";
import { Fleet } from "./fleet.ts";
import { Node } from "./node.ts";
import { failure } from "./outcome.ts";

function createNode(weight = 1) {
  const fleet = new Fleet();
  return { fleet, node: new Node(checkEndpoint({ address: "http://a", weight }), fleet, 0, false) };
}

describe("a node's load report", () => {
  it("counts calls sent since, and fades to the fleet's mean over a second", () => {
    const { fleet, node } = createNode(2);
    node.begin();
    expect(node.reportedInflight).toBe(0);
    node.reported({ inflight: 40 }, 1_000);
    expect(node.reportedInflight).toBe(40);
    // A gain of .02, for a weight of 1.
    expect(fleet.inflightPerWeight).toBeCloseTo(0.4, 12);
    node.begin();
    node.begin();
    expect(node.reportedInflight).toBe(42);
    fleet.inflightPerWeight = 5;
    node.refresh(2_000);
    expect(node.reportedInflight).toBeCloseTo(10 + 32 / Math.E, 9);
    node.reported({ inflight: 3 }, 2_500);
    expect(node.reportedInflight).toBe(3);
  });

  it("is forgotten with the first good answer that has none, and with a new start", () => {
    const { node } = createNode();
    node.reported({ inflight: 40 }, 1_000);
    node.reported(undefined, 1_001);
    expect(node).toMatchObject({ report: undefined, reportedInflight: 0 });
    node.begin();
    expect(node.reportedInflight).toBe(0);
    node.reported({ inflight: 40 }, 1_000);
    node.startAnew();
    expect(node).toMatchObject({ report: undefined, reportedInflight: 0 });
  });

  it("comes to the fleet's mean however many calls failed since it was made", () => {
    const { node } = createNode();
    node.reported({ inflight: 1 }, 1_000);
    for (let call = 0; call < 1_000; call++) {
      node.begin();
      node.end(failure("status", "500"), 1_001);
    }
    node.refresh(11_000);
    expect(node.reportedInflight).toBeLessThan(1);
  });

  it("knows since when the node has reported without a break", () => {
    const { node } = createNode();
    node.reported({ rps: 1 }, 1_000);
    node.reported({ rps: 2 }, 100_000);
    expect(node).toMatchObject({ reportingSince: 1_000, reportedAt: 100_000, reportedInflight: 0 });
    node.reported({ rps: 3 }, 280_001);
    expect(node.reportingSince).toBe(280_001);
    node.reported(undefined, 280_002);
    node.reported({ rps: 3 }, 280_003);
    expect(node.reportingSince).toBe(280_003);
  });

  it("leaves the fleet alone when it comes from a node of weight 0, which is drained", () => {
    const { fleet, node } = createNode(0);
    node.reported({ inflight: 40 }, 1_000);
    expect(fleet.inflightPerWeight).toBe(0);
  });
});
