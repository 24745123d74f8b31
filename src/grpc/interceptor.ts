/**
 * What the channels of a service do before a call: learn whether its method is a stream, and let it inherit the deadline and the
 * abort of the handler that it is made in (`withDeadline`, `evenkeel/server`).
 */
import { InterceptingCall, type Interceptor, type NextCall, status } from "@grpc/grpc-js";
import { type CallContext, currentContext } from "../resilience/call-context.ts";
import { isFailure } from "./classify.ts";
import type { Methods } from "./methods.ts";

type Options = Parameters<NextCall>[0];

export function createInterceptor(methods: Methods): Interceptor {
  return (options, nextCall) => {
    methods.learn(options.method_definition);
    const context = currentContext();
    const call = context === undefined ? nextCall(options) : inherit(context, options, nextCall);
    // Most calls need nothing in between; grpc-js asks for no more than this of it, whatever its type says.
    return call as InterceptingCall;
  };
}

function inherit(context: CallContext, options: Options, nextCall: NextCall): ReturnType<NextCall> {
  const deadline = leastDeadline(options.deadline, context.remainingMs());
  const call = nextCall(deadline === undefined ? options : { ...options, deadline });
  const { signal } = context;
  const onAbort = (): void =>
    call.cancelWithStatus(
      status.CANCELLED,
      `the call that this one is part of was aborted: ${signal?.reason}`,
    );
  return new InterceptingCall(call, {
    start(metadata, _listener, next) {
      next(metadata, {
        onReceiveStatus(ended, nextStatus) {
          signal?.removeEventListener("abort", onAbort);
          // What could be done was done here: whoever waits for the handler need not ask it again.
          if (isFailure(ended.code)) context.noteFailureBelow();
          nextStatus(ended);
        },
      });
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    },
  });
}

/** grpc-js takes a time of the wall clock, as a number or a Date. */
function leastDeadline(own: Date | number | undefined, remainingMs: number): number | undefined {
  if (remainingMs === Number.POSITIVE_INFINITY) return undefined;
  const inherited = Date.now() + remainingMs;
  return own === undefined ? inherited : Math.min(Number(own), inherited);
}
