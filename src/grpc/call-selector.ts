/** Makes the object behind each call of a channel; grpc-js asks it once for each. */
import type { experimental, Metadata } from "@grpc/grpc-js";
import { currentContext } from "../resilience/call-context.ts";
import { GrpcCall } from "./grpc-call.ts";
import { rulesIn } from "./grpc-rules.ts";
import type { GrpcService } from "./grpc-service.ts";
import type { ConfiguredMethods } from "./method-config.ts";
import { Refusal } from "./refusal.ts";

export class CallSelector implements experimental.ConfigSelector {
  /** What the channel's own service config says. */
  readonly configured: ConfiguredMethods;
  readonly #service: GrpcService;
  readonly #refusal: Refusal;

  constructor(service: GrpcService, configured: ConfiguredMethods) {
    this.#service = service;
    this.#refusal = new Refusal(`${service.cluster.name}: the balancer is closed`);
    this.configured = configured;
  }

  invoke(path: string, metadata: Metadata): ReturnType<experimental.ConfigSelector["invoke"]> {
    const { methods, closing, cluster, rules } = this.#service;
    if (closing || cluster.closed) return this.#refusal.invoke();
    const method = methods.of(path);
    const view = rulesIn(metadata.getOptions());
    const isOwn = view !== undefined && view.service === this.#service;
    return new GrpcCall(
      isOwn ? view : rules,
      isOwn ? view.methodOf(method) : method,
      metadata,
      this.configured.of(path),
      currentContext()?.priority,
    );
  }

  /** Nothing to let go of: all channels of the service share it. */
  unref(): void {}
}
