/** Servers made by grpc-js, for clients of Connect: statuses and load reports are in real trailers there. */

import type { EventEmitter } from "node:events";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { encodeLoadReport, loadReportTrailer } from "../../src/core/orca.ts";
import { roundRobin } from "../../src/index.ts";
import { ask, told, type Wish } from "./support/shop.ts";
import { protocols } from "./support/transports.ts";

interface Text {
  readonly value: string;
}

interface GrpcServer extends AsyncDisposable {
  readonly address: string;
  readonly calls: string[];
}

const kinds = {
  Get: { requestStream: false, responseStream: false },
  Buy: { requestStream: false, responseStream: false },
  List: { requestStream: false, responseStream: true },
  Fill: { requestStream: true, responseStream: false },
  Talk: { requestStream: true, responseStream: true },
};

const definition = Object.fromEntries(
  Object.entries(kinds).map(([name, kind]) => {
    const serialize = (text: Text): Buffer =>
      Buffer.from(toBinary(StringValueSchema, { $typeName: "google.protobuf.StringValue", ...text }));
    const deserialize = (bytes: Buffer): Text => fromBinary(StringValueSchema, bytes);
    const path = `/evenkeel.test.Shop/${name}`;
    const both = { requestSerialize: serialize, responseSerialize: serialize };
    return [
      name,
      { path, ...kind, ...both, requestDeserialize: deserialize, responseDeserialize: deserialize },
    ];
  }),
);

async function startGrpcShop(trailers: Readonly<Record<string, string | Buffer>> = {}): Promise<GrpcServer> {
  const server = new Server();
  const calls: string[] = [];
  let address = "";
  const answer = (value: string, heard: number): Text => ({
    value: JSON.stringify({ from: address, bytes: value.length, heard }),
  });
  const unary = (
    call: ServerUnaryCall<Text, Text>,
    reply: (error: object | null, text?: Text, trailer?: Metadata) => void,
  ): void => {
    calls.push(call.getPath());
    const { code, at } = JSON.parse(call.request.value) as Wish;
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
    if (code !== undefined && (at === undefined || at === address))
      reply({ code, details: "asked for", metadata });
    else reply(null, answer(call.request.value, 1), metadata);
  };
  server.addService(definition, {
    Get: unary,
    Buy: unary,
    List(call: { readonly request: Text; write(text: Text): void; end(): void }) {
      const { messages = 3 } = JSON.parse(call.request.value) as Wish;
      for (let index = 0; index < messages; index++) call.write(answer(call.request.value, index));
      call.end();
    },
    Fill(call: AsyncIterable<Text>, reply: (error: null, text: Text) => void) {
      void (async () => {
        let heard = 0;
        for await (const _request of call) heard++;
        reply(null, answer("", heard));
      })();
    },
    Talk(call: EventEmitter & { write(text: Text): void; end(): void }) {
      let heard = 0;
      call.on("data", ({ value }: Text) => call.write(answer(value, ++heard)));
      call.on("end", () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  address = `http://127.0.0.1:${port}`;
  return {
    address,
    calls,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

const three = async function* () {
  for (let index = 0; index < 3; index++) yield ask();
};

test("calls of each kind reach both servers in turn", async () => {
  await using first = await startGrpcShop();
  await using second = await startGrpcShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [first.address, second.address],
    policy: roundRobin(),
  });
  const client = protocols.gRPC(shop.transportOptions);
  for (let index = 0; index < 4; index++) await client.get(ask());
  expect([first.calls.length, second.calls.length]).toEqual([2, 2]);
  const listed: number[] = [];
  for await (const message of client.list(ask({ messages: 4 }))) listed.push(told(message).heard);
  expect(listed).toEqual([0, 1, 2, 3]);
  expect(told(await client.fill(three())).heard).toBe(3);
  const talked: number[] = [];
  for await (const message of client.talk(three())) talked.push(told(message).heard);
  expect(talked).toEqual([1, 2, 3]);
  const bytes = 1_024 * 1_024;
  expect(
    told(await client.buy({ value: JSON.stringify({ padding: "y".repeat(bytes) }) })).bytes,
  ).toBeGreaterThan(bytes);
  expect(shop.nodes.map(({ inflight, failures }) => inflight + failures)).toEqual([0, 0]);
});

test("statuses in trailers are retried and held against the node as they should", async () => {
  await using bad = await startGrpcShop();
  await using good = await startGrpcShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [bad.address, good.address],
    policy: roundRobin(),
    retry: { budget: false },
    health: { ejection: false },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const wish = ask({ code: status.UNAVAILABLE, at: bad.address });
  for (let index = 0; index < 4; index++) expect(told(await client.get(wish)).from).toBe(good.address);
  const failures = () => shop.nodes.reduce((sum, node) => sum + node.failures, 0);
  const before = failures();
  expect(before).toBe(bad.calls.length);
  await expect(client.get(ask({ code: status.NOT_FOUND }))).rejects.toMatchObject({ code: Code.NotFound });
  expect(failures()).toBe(before);
  await expect(client.get(ask({ code: status.DATA_LOSS }))).rejects.toMatchObject({ code: Code.DataLoss });
  expect(failures()).toBe(before + 1);
});

test("a server that asks for no retry, or has tried to make its failure good, gets none", async () => {
  for (const [name, value] of [
    ["grpc-retry-pushback-ms", "-1"],
    ["evenkeel-retry", "no"],
  ] as const) {
    await using server = await startGrpcShop({ [name]: value });
    await using shop = connectBalancer({
      name: "shop",
      discovery: [server.address],
      retry: { budget: false },
    });
    const client = protocols.gRPC(shop.transportOptions);
    const call = client.get(ask({ code: status.UNAVAILABLE }));
    await expect(call).rejects.toMatchObject({ code: Code.Unavailable });
    expect(server.calls).toHaveLength(1);
  }
});

test("a load report in the trailers is the node's", async () => {
  await using server = await startGrpcShop({
    [loadReportTrailer]: encodeLoadReport({ inflight: 7, rps: 12 }),
  });
  await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
  await protocols.gRPC(shop.transportOptions).get(ask());
  expect([...shop.cluster.nodeSet.nodes.values()].map(({ report }) => report)).toEqual([
    { inflight: 7, rps: 12 },
  ]);
});

test("a path in retry.methods lets a method run twice that says nothing of it", async () => {
  await using bad = await startGrpcShop();
  await using good = await startGrpcShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [bad.address, good.address],
    policy: roundRobin(),
    retry: { budget: false, methods: ["/evenkeel.test.Shop/Buy"] },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const wish = ask({ code: status.UNAVAILABLE, at: bad.address });
  for (let index = 0; index < 4; index++) expect(told(await client.buy(wish)).from).toBe(good.address);
  expect(bad.calls.length).toBeGreaterThanOrEqual(2);
});
