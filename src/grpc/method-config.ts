/**
 * The methodConfig of a service config that the caller gave in the channel options: what it says of retries, hedging and
 * timeouts goes before ours.
 *
 * grpc-js refuses a config with mistakes when the channel is made, so what comes here is well-formed. Its own selector
 * is out of work once a channel has another, and so the most specific name is looked up here.
 */
import type { experimental } from "@grpc/grpc-js";

/** As grpc-js takes it from a ConfigSelector. */
export type MethodConfig = ReturnType<experimental.ConfigSelector["invoke"]>["methodConfig"];

/** As it stands in the JSON. */
interface WrittenConfig extends Omit<MethodConfig, "timeout"> {
  readonly timeout?: string | MethodConfig["timeout"];
}

interface Throttling {
  readonly retryThrottling?: { maxTokens: number; tokenRatio: number };
}

interface WrittenService extends Throttling {
  readonly methodConfig?: readonly WrittenConfig[];
}

export class ConfiguredMethods {
  /** What the config says of all methods together, for grpc-js. */
  readonly throttling: Throttling;
  readonly #configs: readonly MethodConfig[];
  readonly #byPath: Map<string, MethodConfig | undefined> = new Map();

  /** @param json the channel option `grpc.service_config`. */
  constructor(json: string | undefined) {
    const { methodConfig = [], retryThrottling }: WrittenService = json === undefined ? {} : JSON.parse(json);
    this.throttling = retryThrottling === undefined ? {} : { retryThrottling };
    this.#configs = methodConfig.map(({ timeout, ...config }) => {
      const read = typeof timeout === "string" ? readDuration(timeout) : timeout;
      return read === undefined ? config : { ...config, timeout: read };
    });
  }

  of(path: string): MethodConfig | undefined {
    if (this.#configs.length === 0) return undefined;
    const known = this.#byPath.get(path);
    if (known !== undefined || this.#byPath.has(path)) return known;
    const [, service = "", method = ""] = path.split("/");
    const found =
      this.#find((name) => name.service === service && name.method === method) ??
      this.#find((name) => name.service === service && !name.method) ??
      this.#find((name) => !name.service && !name.method);
    if (this.#byPath.size < 10_000) this.#byPath.set(path, found);
    return found;
  }

  #find(matches: (name: MethodConfig["name"][number]) => boolean): MethodConfig | undefined {
    return this.#configs.find(({ name }) => name.some(matches));
  }
}

/** `"1.5s"`. */
function readDuration(written: string): { seconds: number; nanos: number } {
  const seconds = Number(written.slice(0, -1));
  const whole = Math.floor(seconds);
  return { seconds: whole, nanos: Math.round((seconds - whole) * 1e9) };
}
