/** Calls of Connect's gRPC transport to servers of grpc-go: calls of each kind, deadlines, cancels, pings and GOAWAY. */
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { type ConnectBalancerOptions, connectBalancer } from "../../src/connect/index.ts";
import { roundRobin } from "../../src/index.ts";
import { type GoServer, startGoServer } from "../grpc/support/go-server.ts";
import { describeWith } from "../registries/support/describe-with.ts";
import { until } from "../support/until.ts";
import { connectionsOf } from "./support/connections.ts";
import { TestService } from "./support/interop.ts";

function open(servers: readonly GoServer[], options: Partial<ConnectBalancerOptions> = {}) {
  const balancer = connectBalancer({
    name: "interop",
    discovery: servers.map(({ address }) => address),
    policy: roundRobin(),
    ...options,
  });
  const client = createClient(TestService, createGrpcTransport(balancer.transportOptions));
  const nodeOf = ({ address }: GoServer) =>
    balancer.nodes.find((node) => node.address === `http://${address}`);
  return { balancer, client, nodeOf, [Symbol.asyncDispose]: () => balancer.close() };
}

const body = (bytes: number) => ({ payload: { body: new Uint8Array(bytes) } });
const sizes = (...all: readonly number[]) => ({ responseParameters: all.map((size) => ({ size })) });
/** One answer at once, the next one in a minute. */
const slow = { responseParameters: [{ size: 1 }, { size: 1, intervalUs: 60_000_000 }] };

describeWith(["grpc-server"], "grpc-go", () => {
  test("calls of each kind carry their messages to all servers in turn", async () => {
    await using one = await startGoServer("-cpu", "0.25", "-inflight", "3");
    await using two = await startGoServer("-cpu", "0.75", "-inflight", "7");
    await using interop = open([one, two]);
    const { client, balancer, nodeOf } = interop;
    for (let index = 0; index < 4; index++) {
      const answer = await client.unaryCall({ responseSize: 314_159, ...body(271_828) });
      expect(answer.payload?.body.length).toBe(314_159);
    }
    expect([nodeOf(one)?.calls, nodeOf(two)?.calls]).toEqual([2, 2]);
    const reports = [...balancer.cluster.nodeSet.nodes.values()].map(({ report }) => report);
    expect(reports).toMatchObject([
      { cpuUtilization: 0.25, inflight: 3, rps: 100 },
      { cpuUtilization: 0.75, inflight: 7, rps: 100 },
    ]);
    const heard: (number | undefined)[] = [];
    for await (const { payload } of client.streamingOutputCall(sizes(31_415, 9, 2_653, 58_979)))
      heard.push(payload?.body.length);
    expect(heard).toEqual([31_415, 9, 2_653, 58_979]);
    const said = await client.streamingInputCall(
      (async function* () {
        for (const bytes of [27_182, 8, 1_828, 45_904]) yield body(bytes);
      })(),
    );
    expect(said.aggregatedPayloadSize).toBe(74_922);
    // Each answer is waited for before the next request.
    let release = (): void => {};
    const answered: (number | undefined)[] = [];
    const duplex = client.fullDuplexCall(
      (async function* () {
        for (const size of [31_415, 9, 2_653]) {
          const next = new Promise<void>((resolve) => {
            release = resolve;
          });
          yield sizes(size);
          await next;
        }
      })(),
    );
    for await (const { payload } of duplex) {
      answered.push(payload?.body.length);
      release();
    }
    expect(answered).toEqual([31_415, 9, 2_653]);
    await until("nothing is in flight", () => balancer.nodes.every(({ inflight }) => inflight === 0), 2_000);
    expect(balancer.nodes.map(({ failures }) => failures)).toEqual([0, 0]);
  });

  test("its statuses reach the caller, and are held against it by their codes, in streams as well", async () => {
    await using server = await startGoServer();
    await using interop = open([server]);
    const { client, nodeOf } = interop;
    const fail = (code: number) => client.unaryCall({ responseStatus: { code, message: "as asked" } });
    await expect(fail(Code.NotFound)).rejects.toMatchObject({ code: Code.NotFound, rawMessage: "as asked" });
    await expect(client.unimplementedCall({})).rejects.toMatchObject({ code: Code.Unimplemented });
    expect(nodeOf(server)).toMatchObject({ calls: 2, failures: 0 });
    await expect(fail(Code.Internal)).rejects.toMatchObject({ code: Code.Internal });
    expect(nodeOf(server)).toMatchObject({ calls: 3, failures: 1 });
    const read = async (): Promise<void> => {
      const wish = { responseStatus: { code: Code.DataLoss, message: "as asked" }, ...sizes() };
      for await (const _answer of client.fullDuplexCall(
        (async function* () {
          yield wish;
        })(),
      ));
    };
    await expect(read()).rejects.toMatchObject({ code: Code.DataLoss });
    await until("the stream is over", () => nodeOf(server)?.inflight === 0, 2_000);
    expect(nodeOf(server)).toMatchObject({ calls: 4, failures: 2 });
  });

  test("a deadline ends a stream, and a cancel does without being held against the node", async () => {
    await using server = await startGoServer();
    await using interop = open([server]);
    const { client, nodeOf, balancer } = interop;
    const read = async (options: object, heard: () => void): Promise<void> => {
      for await (const _answer of client.streamingOutputCall(slow, options)) heard();
    };
    let answers = 0;
    await expect(read({ timeoutMs: 300 }, () => answers++)).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
    });
    expect(answers).toBe(1);
    await until("it is over", () => nodeOf(server)?.inflight === 0, 2_000);
    const { failures } = nodeOf(server) ?? {};
    const controller = new AbortController();
    await expect(read({ signal: controller.signal }, () => controller.abort())).rejects.toMatchObject({
      code: Code.Canceled,
    });
    expect(nodeOf(server)).toMatchObject({ inflight: 0, failures });
    // Both gave their places back.
    await until("the connection rests", () => connectionsOf(balancer)?.idle === 1, 2_000);
    await client.emptyCall({});
  });

  test("a graceful stop under load loses no call, though none may run twice, and lets streams finish", async () => {
    await using one = await startGoServer();
    await using two = await startGoServer();
    await using interop = open([one, two]);
    const { client, nodeOf, balancer } = interop;
    const stop = new AbortController();
    const failed: unknown[] = [];
    const caller = async (): Promise<void> => {
      while (!stop.signal.aborted) await client.emptyCall({}).catch((error: unknown) => failed.push(error));
    };
    const callers = Array.from({ length: 8 }, caller);
    const wish = { responseParameters: Array.from({ length: 10 }, () => ({ size: 1, intervalUs: 50_000 })) };
    try {
      await until("both are called", () => (nodeOf(one)?.calls ?? 0) > 100, 10_000);
      const streams = [1, 2].map(() => client.streamingOutputCall(wish)[Symbol.asyncIterator]());
      await Promise.all(streams.map((stream) => stream.next()));
      one.tell("GOAWAY");
      for (const stream of streams) {
        let answers = 1;
        while ((await stream.next()).done !== true) answers++;
        expect(answers).toBe(10);
      }
      await until("it is down", () => nodeOf(one)?.state === "down", 10_000);
    } finally {
      stop.abort();
    }
    await Promise.all(callers);
    expect(failed).toEqual([]);
    await until("its connection is gone", () => connectionsOf(balancer)?.open === 0, 5_000);
  });

  test("a server that takes pings for an attack is pinged more seldom on each connection", async () => {
    await using server = await startGoServer();
    await using interop = open([server], { connections: { pingMs: 40, pingTimeoutMs: 1_000 } });
    const { client, nodeOf } = interop;
    // The third ping of an idle stream within five minutes is too many for grpc-go.
    const ended = async (): Promise<unknown> => {
      try {
        for await (const _answer of client.streamingOutputCall(slow, { timeoutMs: 1_000 }));
      } catch (error) {
        return (error as { code: number }).code;
      }
      return undefined;
    };
    const codes: unknown[] = [];
    for (let index = 0; index < 8 && codes.at(-1) !== Code.DeadlineExceeded; index++)
      codes.push(await ended());
    expect(codes.slice(0, -1).length).toBeGreaterThanOrEqual(1);
    expect(codes.at(-1)).toBe(Code.DeadlineExceeded);
    // That we pinged too often is not the node's fault.
    expect(nodeOf(server)?.failures).toBe(0);
    await client.emptyCall({});
  });
});
