/** Tests how connections count from when they are made until their last call has ended. */
import { expect, it } from "vitest";
import { GrpcConnections } from "./grpc-connections.ts";

const node = "http://10.0.0.1:50051";

it("counts those that are made, that stand, and that carry no call", () => {
  const connections = new GrpcConnections();
  expect(connections.countsOf(node)).toBeUndefined();
  const first = connections.add(node);
  expect(connections.countsOf(node)).toEqual({ open: 0, idle: 0, connecting: 1, waiting: 0 });
  first.opened();
  const second = connections.add(node);
  second.opened();
  second.callBegan();
  second.callBegan();
  expect(connections.countsOf(node)).toEqual({ open: 2, idle: 1, connecting: 0, waiting: 0 });
  second.callEnded();
  expect(connections.countsOf(node)?.idle).toBe(1);
  second.callEnded();
  expect(connections.countsOf(node)?.idle).toBe(2);
});

it("counts one that was told to go for as long as it carries calls", () => {
  const connections = new GrpcConnections();
  const going = connections.add(node);
  going.opened();
  going.callBegan();
  going.left();
  connections.add(node).opened();
  expect(connections.countsOf(node)).toEqual({ open: 2, idle: 1, connecting: 0, waiting: 0 });
  going.callEnded();
  expect(connections.countsOf(node)).toEqual({ open: 1, idle: 1, connecting: 0, waiting: 0 });
});

it("keeps nothing of a node whose connections are gone, or were never made", () => {
  const connections = new GrpcConnections();
  connections.add(node).left();
  const stood = connections.add("http://10.0.0.2:50051");
  stood.opened();
  stood.left();
  expect(connections.countsOf(node)).toBeUndefined();
  expect(connections.countsOf("http://10.0.0.2:50051")).toBeUndefined();
});
