/**
 * The way calls go where nothing is open any more: each ends at once, `waitForReady` or not, and says why.
 *
 * The status that a ConfigSelector may give has no text of its own. What a filter throws has, and comes before any pick.
 */
import { experimental, Metadata, status } from "@grpc/grpc-js";

type Filter = experimental.Filter;
type Config = ReturnType<experimental.ConfigSelector["invoke"]>;

export class Refusal
  extends experimental.BaseFilter
  implements experimental.ConfigSelector, experimental.FilterFactory<Filter>
{
  readonly #details: string;
  readonly #config: Config;

  constructor(details: string) {
    super();
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

  override sendMetadata(): Promise<Metadata> {
    return Promise.reject({ code: status.UNAVAILABLE, details: this.#details, metadata: new Metadata() });
  }
}
