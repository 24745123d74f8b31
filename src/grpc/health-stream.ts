/** One stream of grpc.health.v1/Watch on one connection: what the server says, and what it means that the stream ended. */
import { Client, type ClientReadableStream, credentials, type experimental, status } from "@grpc/grpc-js";
import { equalJitterMs } from "../core/backoff.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { CheckResult } from "../core/health-check.ts";
import { decodeVarint, fieldsOf, textField } from "../core/protobuf.ts";
import type { Random } from "../core/random.ts";

/** grpc/health/v1/health.proto: the status is field 1 of the answer, and 1 of its values is SERVING. */
const path = "/grpc.health.v1.Health/Watch";
const statusField = 1;
const statuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/** Pauses before a stream that broke is begun again, as grpc-go has them for this: 1 s, growing to 120 s. */
const baseMs = 1_000;
const maxMs = 120_000;

export interface HealthStreamHost {
  readonly clock: Clock;
  readonly random: Random;
  /** Whose health is asked for; "" for the server as a whole. */
  readonly service: string;
  report(result: CheckResult): void;
}

export class HealthStream {
  readonly #host: HealthStreamHost;
  readonly #client: Client;
  #stream: ClientReadableStream<string> | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #failures = 0;
  #isOver = false;

  constructor(host: HealthStreamHost, subchannel: experimental.SubchannelInterface) {
    this.#host = host;
    // Address and credentials are those of the connection.
    this.#client = new Client("", credentials.createInsecure(), { channelOverride: subchannel.getChannel() });
    this.#begin();
  }

  end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#stream?.cancel();
  }

  #begin(): void {
    const stream = this.#client.makeServerStreamRequest(
      path,
      (service: string) => (service === "" ? Buffer.alloc(0) : textField(1, service)),
      readStatus,
      this.#host.service,
    );
    this.#stream = stream;
    stream.on("data", (name: string) => this.#heard(stream, name));
    // What went wrong comes with the status as well.
    stream.on("error", () => {});
    stream.on("status", ({ code }: { readonly code: number }) => this.#ended(code));
  }

  #heard(stream: ClientReadableStream<string>, name: string): void {
    // grpc-js starts a call of this kind although it was cancelled before it could begin.
    if (this.#isOver) stream.cancel();
    else {
      this.#failures = 0;
      this.#host.report({ healthy: name === "SERVING", detail: name === "SERVING" ? "" : name });
    }
  }

  #ended(code: number): void {
    if (this.#isOver) return;
    // Servers without the service are taken to be well (gRPC's health checking protocol).
    if (code === status.UNIMPLEMENTED) {
      this.#host.report({ healthy: true, detail: "" });
      return;
    }
    this.#host.report({ healthy: false, detail: `its health stream ended as ${status[code] ?? code}` });
    const { clock, random } = this.#host;
    const pauseMs = equalJitterMs(this.#failures++, baseMs, maxMs, random);
    this.#timer = clock.schedule(() => this.#begin(), pauseMs);
  }
}

function readStatus(message: Uint8Array): string {
  let value = 0;
  for (const { number, kind, content } of fieldsOf(message)) {
    if (number === statusField && kind === "varint") value = decodeVarint(content);
  }
  return statuses[value] ?? String(value);
}
