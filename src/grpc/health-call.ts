/**
 * One call of grpc.health.v1/Watch, made on a connection itself.
 *
 * grpc-js has a channel for one connection (`subchannel.getChannel()`), and it will not do for this: where the connection
 * goes just then, it ends in an unhandled rejection, and so ends the process; cancelled before it began, the call is
 * made all the same; it sends another `:authority` than calls have; and each one stays in the registry of channelz for good,
 * with the connection of a node that is long gone.
 */
import { connectivityState, type experimental, status } from "@grpc/grpc-js";
import { decodeVarint, fieldsOf, textField } from "../core/protobuf.ts";

type Connection = experimental.SubchannelInterface;
type Subchannel = ReturnType<Connection["getRealSubchannel"]>;
type Listener = Parameters<Subchannel["createCall"]>[3];

/** grpc/health/v1/health.proto: the status is field 1 of the answer, and 1 of its values is SERVING. */
const path = "/grpc.health.v1.Health/Watch";
const statusField = 1;
const statuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** Of a message on the wire: whether it is compressed, and its length in 4 bytes. */
const prefixLength = 5;

export interface HealthCallHost {
  /** Whose health is asked for; "" for the server as a whole. */
  readonly service: string;
  /** As calls have it. */
  readonly authority: string;
  /** The server says how it is. */
  heard(name: string): void;
  /** Once, unless it was cancelled; undefined when the call could not begin. */
  ended(code: status | undefined): void;
}

export class HealthCall implements Listener {
  readonly #host: HealthCallHost;
  readonly #connection: Connection;
  #call: ReturnType<Subchannel["createCall"]> | undefined = undefined;
  #isOver = false;

  constructor(host: HealthCallHost, connection: Connection) {
    this.#host = host;
    this.#connection = connection;
    void this.#begin();
  }

  cancel(): void {
    this.#isOver = true;
    this.#call?.cancelWithStatus(status.CANCELLED, "nobody asks any more");
  }

  onReceiveMetadata(): void {}

  onReceiveMessage(message: Buffer): void {
    if (this.#isOver) return;
    const name = readStatus(message);
    if (name === undefined) {
      this.#call?.cancelWithStatus(status.INTERNAL, "the answer is no HealthCheckResponse");
      return;
    }
    this.#host.heard(name);
    this.#call?.startRead();
  }

  onReceiveStatus({ code }: { readonly code: status }): void {
    this.#end(code);
  }

  async #begin(): Promise<void> {
    const { service } = this.#host;
    const call = await this.#create();
    if (call === undefined) {
      this.#end(undefined);
      return;
    }
    this.#call = call;
    call.sendMessageWithContext({}, framed(service === "" ? Buffer.alloc(0) : textField(1, service)));
    call.halfClose();
    call.startRead();
  }

  async #create(): Promise<ReturnType<Subchannel["createCall"]> | undefined> {
    const { authority } = this.#host;
    const serviceUrl = `https://${authority}/grpc.health.v1.Health`;
    const credentials = this.#connection.getCallCredentials();
    try {
      // A plugin may take its time over this, or fail.
      const metadata = await credentials.generateMetadata({ method_name: path, service_url: serviceUrl });
      const subchannel = this.#connection.getRealSubchannel();
      if (this.#isOver || subchannel.getConnectivityState() !== connectivityState.READY) return undefined;
      return subchannel.createCall(metadata, authority, path, this);
    } catch {
      // Whatever it is says nothing of the node's health. It is tried again, and calls meet it as well.
      return undefined;
    }
  }

  #end(code: status | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#host.ended(code);
  }
}

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(prefixLength);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Undefined for bytes that are no answer; compressed they cannot be, as no encoding was offered. */
function readStatus(message: Buffer): string | undefined {
  if (message[0] !== 0) return undefined;
  try {
    let value = 0;
    for (const { number, kind, content } of fieldsOf(message.subarray(prefixLength))) {
      if (number === statusField && kind === "varint") value = decodeVarint(content);
    }
    return statuses[value] ?? String(value);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
