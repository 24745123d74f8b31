/**
 * The cases of gRPC's public interop description that need neither credentials nor compression, in our own words, through
 * a balanced channel over two servers: of grpc-js, and of grpc-go.
 */

import type { EventEmitter } from "node:events";
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  Metadata,
  makeClientConstructor,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type GrpcBalancer, grpcBalancer } from "../../src/grpc/index.ts";
import { roundRobin } from "../../src/index.ts";
import { describeWith } from "../registries/support/describe-with.ts";
import { startGoServer } from "./support/go-server.ts";
import {
  type Answer,
  type SimpleRequest,
  type StreamRequest,
  startInteropServer,
  testService,
  unimplementedService,
} from "./support/interop-service.ts";

type Callback<Response> = (error: ServiceError | null, response: Response) => void;
type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  callback: Callback<Response>,
) => ClientUnaryCall;

interface TestClient {
  EmptyCall: Unary<object, object>;
  UnaryCall: Unary<SimpleRequest, Answer>;
  UnimplementedCall: Unary<object, object>;
  StreamingOutputCall(request: StreamRequest): ClientReadableStream<Answer>;
  StreamingInputCall(callback: Callback<{ aggregatedPayloadSize: number }>): ClientWritableStream<Answer>;
  FullDuplexCall(
    metadata: Metadata,
    options?: { readonly deadline: number },
  ): ClientDuplexStream<StreamRequest, Answer>;
  close(): void;
}

const kinds = [
  {
    name: "grpc-js",
    needs: [],
    async start() {
      const servers = await Promise.all([startInteropServer(), startInteropServer()]);
      return {
        addresses: servers.map(({ port }) => `127.0.0.1:${port}`),
        stop: async () => {
          for (const { server } of servers) server.forceShutdown();
        },
      };
    },
  },
  {
    name: "grpc-go",
    needs: ["grpc-server"],
    async start() {
      const servers = await Promise.all([startGoServer(), startGoServer()]);
      return {
        addresses: servers.map(({ address }) => address),
        stop: async () => {
          await Promise.all(servers.map((server) => server.kill()));
        },
      };
    },
  },
];

const requestSizes = [27_182, 8, 1_828, 45_904];
const answerSizes = [31_415, 9, 2_653, 58_979];
const special = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

for (const { name, needs, start } of kinds) {
  describeWith(needs, `against ${name}`, () => {
    let stop = async (): Promise<void> => {};
    let balancer: GrpcBalancer;
    let client: TestClient;
    let other: Pick<TestClient, "UnimplementedCall" | "close">;

    beforeAll(async () => {
      const servers = await start();
      stop = servers.stop;
      balancer = grpcBalancer({
        name: `interop-${name}`,
        discovery: servers.addresses,
        policy: roundRobin(),
      });
      const connect = (definition: typeof testService): TestClient => {
        const Client = makeClientConstructor(definition, "Interop");
        return new Client(
          balancer.target,
          credentials.createInsecure(),
          balancer.channelOptions,
        ) as unknown as TestClient;
      };
      client = connect(testService);
      other = connect(unimplementedService);
    });

    afterAll(async () => {
      client.close();
      other.close();
      await balancer.close();
      await stop();
    });

    test("an empty call has an empty answer", async () => {
      expect(await ask(client, "EmptyCall", {})).toEqual({});
    });

    test("a large call has a large answer, on each of the nodes", async () => {
      const request = { responseSize: 314_159, payload: { body: Buffer.alloc(271_828) } };
      for (let round = 0; round < 2; round++) {
        const answer = await ask(client, "UnaryCall", request);
        expect(answer.payload?.body.length).toBe(314_159);
      }
      expect(balancer.nodes.every(({ calls }) => calls > 0)).toBe(true);
    });

    test("a client streams", async () => {
      const size = await new Promise<number>((resolve, reject) => {
        const call = client.StreamingInputCall((error, answer) =>
          error === null ? resolve(answer.aggregatedPayloadSize) : reject(error),
        );
        for (const bytes of requestSizes) call.write({ payload: { body: Buffer.alloc(bytes) } });
        call.end();
      });
      expect(size).toBe(74_922);
    });

    test("a server streams", async () => {
      const call = client.StreamingOutputCall({ responseParameters: answerSizes.map((size) => ({ size })) });
      expect(await sizesOf(call)).toEqual(answerSizes);
    });

    test("two sides take turns", async () => {
      const call = client.FullDuplexCall(new Metadata());
      const sizes: number[] = [];
      const ended = statusOf(call);
      const ask = (index: number): void => {
        const [size, bytes] = [answerSizes[index], requestSizes[index]];
        if (size === undefined || bytes === undefined) call.end();
        else call.write({ responseParameters: [{ size }], payload: { body: Buffer.alloc(bytes) } });
      };
      call.on("data", (answer: Answer) => {
        sizes.push(answer.payload?.body.length ?? 0);
        ask(sizes.length);
      });
      ask(0);
      expect((await ended).code).toBe(status.OK);
      expect(sizes).toEqual(answerSizes);
    });

    test("a stream without a message ends well", async () => {
      const call = client.FullDuplexCall(new Metadata());
      const ended = statusOf(call);
      let messages = 0;
      call.on("data", () => messages++);
      call.end();
      expect((await ended).code).toBe(status.OK);
      expect(messages).toBe(0);
    });

    test("headers and trailers of the program's own come back, of unary calls and of streams", async () => {
      const sent = new Metadata();
      sent.set("x-grpc-test-echo-initial", "test_initial_metadata_value");
      sent.set("x-grpc-test-echo-trailing-bin", Buffer.from("ababab", "hex"));
      const request = { responseSize: 1, payload: { body: Buffer.alloc(1) } };
      const check = (headers: Metadata, trailers: Metadata): void => {
        expect(headers.get("x-grpc-test-echo-initial")).toEqual(["test_initial_metadata_value"]);
        expect(trailers.get("x-grpc-test-echo-trailing-bin")).toEqual([Buffer.from("ababab", "hex")]);
      };
      const unary = await new Promise<[Metadata, Metadata]>((resolve, reject) => {
        let headers = new Metadata();
        const call = client.UnaryCall(request, sent, (error) => error !== null && reject(error));
        call.on("metadata", (received) => {
          headers = received;
        });
        call.on("status", ({ metadata }) => resolve([headers, metadata]));
      });
      check(...unary);

      const call = client.FullDuplexCall(sent);
      let headers = new Metadata();
      call.on("metadata", (received) => {
        headers = received;
      });
      const ended = statusOf(call);
      call.resume();
      call.write({ responseParameters: [{ size: 1 }], payload: { body: Buffer.alloc(1) } });
      call.end();
      const { metadata } = await ended;
      check(headers, metadata);
    });

    test("a status and its message come as they were given, of unary calls and of streams", async () => {
      const responseStatus = { code: 2, message: "test status message" };
      const expected = { code: 2, details: "test status message" };
      await expect(ask(client, "UnaryCall", { responseStatus })).rejects.toMatchObject(expected);
      const call = client.FullDuplexCall(new Metadata());
      const ended = statusOf(call);
      call.resume();
      call.write({ responseStatus });
      call.end();
      expect(await ended).toMatchObject(expected);
    });

    test("a message with white space and characters beyond the basic plane is whole", async () => {
      const responseStatus = { code: 2, message: special };
      await expect(ask(client, "UnaryCall", { responseStatus })).rejects.toMatchObject({
        code: 2,
        details: special,
      });
    });

    test("a method that the server does not have", async () => {
      await expect(ask(client, "UnimplementedCall", {})).rejects.toMatchObject({
        code: status.UNIMPLEMENTED,
      });
    });

    test("a service that the server does not have", async () => {
      await expect(ask(other, "UnimplementedCall", {})).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
    });

    test("a stream is given up before it has sent anything", async () => {
      const ended = new Promise<ServiceError | null>((resolve) => {
        const call = client.StreamingInputCall(resolve);
        setImmediate(() => call.cancel());
      });
      expect((await ended)?.code).toBe(status.CANCELLED);
    });

    test("a stream is given up after the first answer", async () => {
      const call = client.FullDuplexCall(new Metadata());
      const ended = statusOf(call);
      call.on("data", () => call.cancel());
      call.write({ responseParameters: [{ size: 31_415 }], payload: { body: Buffer.alloc(27_182) } });
      expect((await ended).code).toBe(status.CANCELLED);
    });

    test("a server that sleeps runs into the deadline", async () => {
      const call = client.FullDuplexCall(new Metadata(), { deadline: Date.now() + 1 });
      const ended = statusOf(call);
      call.resume();
      call.write({ payload: { body: Buffer.alloc(27_182) } });
      expect((await ended).code).toBe(status.DEADLINE_EXCEEDED);
    });

    test("after all of it nothing is in flight, and no node was blamed for what was asked of it", () => {
      for (const { inflight, state } of balancer.nodes)
        expect({ inflight, state }).toEqual({ inflight: 0, state: "ready" });
    });
  });
}

function ask<Name extends "EmptyCall" | "UnaryCall" | "UnimplementedCall">(
  client: Pick<TestClient, Name>,
  name: Name,
  request: SimpleRequest,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = client[name] as Unary<SimpleRequest, Answer>;
    call.call(client, request, new Metadata(), (error, answer) =>
      error === null ? resolve(answer) : reject(error),
    );
  });
}

async function sizesOf(call: ClientReadableStream<Answer>): Promise<number[]> {
  const sizes: number[] = [];
  for await (const answer of call) sizes.push((answer as Answer).payload?.body.length ?? 0);
  return sizes;
}

/** The end of a stream, well or not. */
function statusOf(call: EventEmitter): Promise<StatusObject> {
  return new Promise((resolve) => {
    call.on("error", () => {});
    call.on("status", resolve);
  });
}
