/** Calls to servers of grpc-go beyond the interop cases: health, load, pings, GOAWAY, and a registry that Go writes to. */
import {
  type ClientDuplexStream,
  credentials,
  Metadata,
  makeClientConstructor,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { etcd } from "../../src/discovery/etcd.ts";
import {
  type GrpcBalancer,
  type GrpcBalancerOptions,
  grpcBalancer,
  grpcCheck,
} from "../../src/grpc/index.ts";
import { roundRobin } from "../../src/index.ts";
import { describeWith } from "../registries/support/describe-with.ts";
import { findServer } from "../registries/support/find-server.ts";
import { GoProgram } from "../registries/support/go-program.ts";
import { startEtcd } from "../registries/support/servers.ts";
import { eventually, inTurn } from "./support/clients.ts";
import { startGoServer } from "./support/go-server.ts";
import { testService } from "./support/interop-service.ts";

describeWith(["grpc-server"], "grpc-go", () => {
  test("its health service and its load reports are heeded", async () => {
    await using one = await startGoServer("-cpu", "0.25", "-inflight", "3");
    await using two = await startGoServer("-cpu", "0.75", "-inflight", "7");
    await using orders = open([one.address, two.address], { health: { check: grpcCheck(), warmUpMs: 0 } });
    await inTurn(4, () => orders.call());
    const reports = [...orders.balancer.cluster.nodeSet.nodes.values()].map(({ report }) => report);
    expect(reports).toMatchObject([
      { cpuUtilization: 0.25, inflight: 3, rps: 100 },
      { cpuUtilization: 0.75, inflight: 7, rps: 100 },
    ]);
    one.tell("NOT_SERVING");
    await eventually("it is down", () => orders.stateOf(one.address) === "down");
    const before = orders.callsOf(one.address);
    await inTurn(4, () => orders.call());
    expect(orders.callsOf(one.address)).toBe(before);
    one.tell("SERVING");
    await eventually("it is called again", async () => {
      await orders.call();
      return orders.callsOf(one.address) > before;
    });
  });

  test("a graceful stop under load loses no call", async () => {
    await using one = await startGoServer();
    await using two = await startGoServer();
    await using orders = open([one.address, two.address]);
    let running = true;
    let failed = 0;
    const caller = async (): Promise<void> => {
      while (running) await orders.call().catch(() => failed++);
    };
    const callers = Array.from({ length: 8 }, caller);
    await eventually("both are called", () => orders.callsOf(one.address) > 100);
    one.tell("GOAWAY");
    await eventually("it is down", () => orders.stateOf(one.address) === "down");
    running = false;
    await Promise.all(callers);
    expect(failed).toBe(0);
  });

  test("a server that takes pings for an attack is pinged as seldom as it wants, after one connection", async () => {
    await using server = await startGoServer();
    await using orders = open([server.address], { connections: { pingMs: 40, pingTimeoutMs: 1_000 } });
    await orders.call();
    const ended = async (): Promise<number> => {
      const stream = orders.client.FullDuplexCall(new Metadata(), { deadline: Date.now() + 700 });
      return new Promise<number>((resolve) => {
        stream.on("error", ({ code }: ServiceError) => resolve(code));
        stream.resume();
      });
    };
    // The third ping of an idle stream within five minutes is too many for grpc-go.
    expect(await ended()).not.toBe(status.DEADLINE_EXCEEDED);
    await orders.call();
    expect(await ended()).toBe(status.DEADLINE_EXCEEDED);
    // The one that ran into its deadline without an answer; that we pinged too often is not the node's fault.
    expect(orders.balancer.nodes[0]?.failures).toBe(1);
  });
});

describeWith(["grpc-server", "etcd", "etcd-naming"], "an etcd that Go services share", () => {
  test("servers that Go's naming package registers are called, and left alone when they deregister", async () => {
    const binary = findServer("etcd") as string;
    await using registry = await startEtcd({ binary });
    await using one = await startGoServer();
    await using two = await startGoServer();
    const register = async (address: string): Promise<GoProgram> => {
      const place = ["-endpoints", registry.address, "-service", "orders", "-address", address];
      const program = GoProgram.start("etcd-naming", ["register", ...place]);
      await program.until("registers", (line) => "registered" in line);
      return program;
    };
    await using first = await register(one.address);
    await using orders = open(etcd({ endpoints: registry.address, format: "etcd" }), {}, {}, "orders");
    await orders.call();
    await using _second = await register(two.address);
    await eventually("the second is called", async () => {
      await orders.call();
      return orders.callsOf(two.address) > 0;
    });
    await first.end();
    await eventually("the first has left", () => orders.stateOf(one.address) === undefined);
    await inTurn(4, () => orders.call());
    expect(orders.callsOf(two.address)).toBeGreaterThan(4);
  });
});

interface Orders extends AsyncDisposable {
  readonly balancer: GrpcBalancer;
  readonly client: {
    FullDuplexCall(metadata: Metadata, options: object): ClientDuplexStream<object, object>;
  };
  call(): Promise<void>;
  stateOf(address: string): string | undefined;
  callsOf(address: string): number;
}

let number = 0;

function open(
  discovery: GrpcBalancerOptions["discovery"],
  options: Omit<GrpcBalancerOptions, "name" | "discovery"> = {},
  channelOptions: object = {},
  name = `go${number++}`,
): Orders {
  const balancer = grpcBalancer({ name, discovery, policy: roundRobin(), ...options });
  const Client = makeClientConstructor(testService, "Interop");
  const client = new Client(balancer.target, credentials.createInsecure(), {
    ...balancer.channelOptions,
    ...channelOptions,
  });
  const find = (address: string) => balancer.nodes.find((node) => node.address === `http://${address}`);
  return {
    balancer,
    client: client as unknown as Orders["client"],
    call: () =>
      new Promise((resolve, reject) => {
        const unary = client.EmptyCall as unknown as (
          request: object,
          answer: (error: ServiceError | null) => void,
        ) => void;
        unary.call(client, {}, (error) => (error === null ? resolve() : reject(error)));
      }),
    stateOf: (address) => find(address)?.state,
    callsOf: (address) => find(address)?.calls ?? 0,
    async [Symbol.asyncDispose]() {
      client.close();
      await balancer.close();
    },
  };
}
