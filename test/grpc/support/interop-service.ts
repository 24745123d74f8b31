/**
 * The test service of gRPC's public interop description (grpc.testing.TestService), as far as its cases without
 * credentials and compression need it: the definition, and a server in this process.
 */
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

interface Payload {
  readonly body: Buffer;
}
interface EchoStatus {
  readonly code: number;
  readonly message: string;
}
export interface SimpleRequest {
  readonly responseSize?: number;
  readonly payload?: Payload;
  readonly responseStatus?: EchoStatus | null;
}
export interface StreamRequest {
  readonly responseParameters?: readonly { readonly size: number; readonly intervalUs?: number }[];
  readonly payload?: Payload;
  readonly responseStatus?: EchoStatus | null;
}
export interface Answer {
  readonly payload: Payload | null;
}

function method(
  requestType: string,
  responseType: string,
  streams: { readonly requestStream?: boolean; readonly responseStream?: boolean } = {},
) {
  return { requestType, responseType, ...streams, comment: "" };
}

const payload = { rule: "optional", type: "Payload", id: 1 } as const;

/** Field numbers as in grpc/testing/messages.proto. */
const loaded = fromJSON({
  nested: {
    grpc: {
      nested: {
        testing: {
          nested: {
            Empty: { fields: {} },
            Payload: { fields: { body: { type: "bytes", id: 2 } } },
            EchoStatus: { fields: { code: { type: "int32", id: 1 }, message: { type: "string", id: 2 } } },
            SimpleRequest: {
              fields: {
                responseSize: { type: "int32", id: 2 },
                payload: { type: "Payload", id: 3 },
                responseStatus: { type: "EchoStatus", id: 7 },
              },
            },
            SimpleResponse: { fields: { payload } },
            StreamingInputCallRequest: { fields: { payload } },
            StreamingInputCallResponse: { fields: { aggregatedPayloadSize: { type: "int32", id: 1 } } },
            ResponseParameters: {
              fields: { size: { type: "int32", id: 1 }, intervalUs: { type: "int32", id: 2 } },
            },
            StreamingOutputCallRequest: {
              fields: {
                responseParameters: { rule: "repeated", type: "ResponseParameters", id: 2 },
                payload: { type: "Payload", id: 3 },
                responseStatus: { type: "EchoStatus", id: 7 },
              },
            },
            StreamingOutputCallResponse: { fields: { payload } },
            TestService: {
              methods: {
                EmptyCall: method("Empty", "Empty"),
                UnaryCall: method("SimpleRequest", "SimpleResponse"),
                StreamingOutputCall: method("StreamingOutputCallRequest", "StreamingOutputCallResponse", {
                  responseStream: true,
                }),
                StreamingInputCall: method("StreamingInputCallRequest", "StreamingInputCallResponse", {
                  requestStream: true,
                }),
                FullDuplexCall: method("StreamingOutputCallRequest", "StreamingOutputCallResponse", {
                  requestStream: true,
                  responseStream: true,
                }),
                UnimplementedCall: method("Empty", "Empty"),
              },
            },
            UnimplementedService: { methods: { UnimplementedCall: method("Empty", "Empty") } },
          },
        },
      },
    },
  },
});

export const testService: ServiceDefinition = loaded["grpc.testing.TestService"] as ServiceDefinition;
export const unimplementedService: ServiceDefinition = loaded[
  "grpc.testing.UnimplementedService"
] as ServiceDefinition;

const echoedHeader = "x-grpc-test-echo-initial";
const echoedTrailer = "x-grpc-test-echo-trailing-bin";

/** @returns its port; `server.forceShutdown()` ends it. */
export async function startInteropServer(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = new Server();
  const { UnimplementedCall: _, ...implemented } = testService;
  server.addService(implemented, {
    EmptyCall: (_call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => answer(null, {}),
    UnaryCall: (call: ServerUnaryCall<SimpleRequest, Answer>, answer: sendUnaryData<Answer>) => {
      const { responseStatus, responseSize = 0 } = call.request;
      const trailers = echo(call);
      if (responseStatus) {
        answer({ code: responseStatus.code, details: responseStatus.message, metadata: trailers });
      } else answer(null, { payload: { body: Buffer.alloc(responseSize) } }, trailers);
    },
    StreamingOutputCall: (call: ServerWritableStream<StreamRequest, Answer>) => {
      for (const { size } of call.request.responseParameters ?? []) {
        call.write({ payload: { body: Buffer.alloc(size) } });
      }
      call.end();
    },
    StreamingInputCall: (
      call: ServerReadableStream<Answer, { readonly aggregatedPayloadSize: number }>,
      answer: sendUnaryData<{ readonly aggregatedPayloadSize: number }>,
    ) => {
      let size = 0;
      call.on("data", (request: Answer) => {
        size += request.payload?.body.length ?? 0;
      });
      call.on("end", () => answer(null, { aggregatedPayloadSize: size }));
    },
    FullDuplexCall: (call: ServerDuplexStream<StreamRequest, Answer>) => {
      const trailers = echo(call);
      call.on("data", ({ responseStatus, responseParameters = [] }: StreamRequest) => {
        if (responseStatus) {
          const { code, message } = responseStatus;
          call.emit("error", { code, details: message, metadata: trailers });
          return;
        }
        for (const { size } of responseParameters) call.write({ payload: { body: Buffer.alloc(size) } });
      });
      call.on("end", () => call.end(trailers));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, port };
}

/** Sends the echoed header back, and gives the trailers to send. */
function echo(call: { readonly metadata: Metadata; sendMetadata(metadata: Metadata): void }): Metadata {
  const [initial] = call.metadata.get(echoedHeader);
  if (initial !== undefined) {
    const headers = new Metadata();
    headers.set(echoedHeader, initial);
    call.sendMetadata(headers);
  }
  const trailers = new Metadata();
  const [trailing] = call.metadata.get(echoedTrailer);
  if (trailing !== undefined) trailers.set(echoedTrailer, trailing);
  return trailers;
}
