/**
 * The way calls go where nothing is open any more: each ends at once, `waitForReady` or not, and says why.
 *
 * The status that a ConfigSelector may give has no text of its own. What a filter throws has, and comes before any pick.
 */
import { type experimental, Metadata, status } from "@grpc/grpc-js";

type Filter = experimental.Filter;
type Config = ReturnType<experimental.ConfigSelector["invoke"]>;

export class Refusal implements experimental.ConfigSelector, experimental.FilterFactory<Filter>, Filter {
  readonly #details: string;
  readonly #config: Config;

  constructor(details: string) {
    this.#details = details;
    this.#config = {
      methodConfig: { name: [] },
      pickInformation: {},
      status: status.OK,
      dynamicFilterFactories: [this],
    };
  }

  invoke(): Config {
    return this.#config;
  }

  unref(): void {}

  createFilter(): Filter {
    return this;
  }

  sendMetadata(): Promise<Metadata> {
    return Promise.reject({ code: status.UNAVAILABLE, details: this.#details, metadata: new Metadata() });
  }

  receiveMetadata(metadata: Metadata): Metadata {
    return metadata;
  }

  sendMessage<Message>(message: Promise<Message>): Promise<Message> {
    return message;
  }

  receiveMessage(message: Promise<Buffer>): Promise<Buffer> {
    return message;
  }

  receiveTrailers(ended: Parameters<Filter["receiveTrailers"]>[0]): ReturnType<Filter["receiveTrailers"]> {
    return ended;
  }
}
