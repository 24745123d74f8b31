/** A protected Fastify app, over the requests and answers of Node.js that Fastify keeps beneath its own. */
import { type HttpRequest, type HttpResponse, serve } from "./http-adapter.ts";
import type { ProtectionCore } from "./protection-core.ts";

/** What of Fastify is used here. */
export interface FastifyInstance {
  addHook(
    name: "onRequest",
    hook: (
      request: { readonly raw: HttpRequest },
      reply: { readonly raw: HttpResponse; hijack(): unknown },
      done: () => void,
    ) => void,
  ): unknown;
}

export type FastifyPlugin = (instance: FastifyInstance, options: object, done: () => void) => void;

export function fastifyPlugin(core: ProtectionCore): FastifyPlugin {
  const plugin: FastifyPlugin = (instance, _options, done) => {
    instance.addHook("onRequest", (request, reply, proceed) => {
      let isLetIn = false;
      serve(core, request.raw, reply.raw, () => {
        isLetIn = true;
        proceed();
      });
      // The answer has been given, without Fastify.
      if (!isLetIn) reply.hijack();
    });
    done();
  };
  // Fastify's own sign: its hooks are for the app that it is registered in, and not for a part of it.
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "evenkeel-protection",
  });
}
