/** The service grpc.health.v1 of a test server: its messages by hand, and a status that the test sets. */
import type { MethodDefinition, Server, ServerWritableStream } from "@grpc/grpc-js";

interface Request {
  readonly service: string;
}
type Watch = ServerWritableStream<Request, number>;

const watch: MethodDefinition<Request, number> = {
  path: "/grpc.health.v1.Health/Watch",
  requestStream: false,
  responseStream: true,
  requestSerialize: ({ service }) => Buffer.from(service),
  // `string service = 1`.
  requestDeserialize: (bytes) => ({ service: bytes.subarray(2).toString() }),
  // `ServingStatus status = 1`.
  responseSerialize: (value) => Buffer.of(8, value),
  responseDeserialize: (bytes) => bytes[1] ?? 0,
};

export class HealthService {
  /** 1 is SERVING, 2 NOT_SERVING. */
  #status = 1;
  readonly #watches: Set<Watch> = new Set();
  /** The services that were asked for. */
  readonly asked: string[] = [];
  /** The names that they were called by. */
  readonly authorities: string[] = [];

  constructor(server: Server) {
    server.addService(
      { watch },
      {
        watch: (call: Watch) => {
          this.asked.push(call.request.service);
          this.authorities.push(call.getHost());
          this.#watches.add(call);
          call.on("cancelled", () => this.#watches.delete(call));
          call.write(this.#status);
        },
      },
    );
  }

  /** Streams that stand. */
  get watches(): number {
    return this.#watches.size;
  }

  set(isServing: boolean): void {
    this.#status = isServing ? 1 : 2;
    for (const call of this.#watches) call.write(this.#status);
  }

  /** Answers with what is no message, from the next stream on. */
  garble(): void {
    this.#status = 0xff;
  }

  /** Ends all streams with an error. */
  break(): void {
    for (const call of this.#watches) call.emit("error", { code: 13, details: "broken" });
    this.#watches.clear();
  }
}
