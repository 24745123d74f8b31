/**
 * What the channels of a service do before a call: learn whether its method is a stream, hand on the rules of a view, and
 * let it inherit the deadline and the abort of the handler that it is made in (`withDeadline`, `evenkeel/server`).
 */
import {
  type CallCredentials,
  InterceptingCall,
  type Interceptor,
  type NextCall,
  status,
} from "@grpc/grpc-js";
import { type CallContext, currentContext } from "../resilience/call-context.ts";
import { GivenCredentials } from "./awaited-credentials.ts";
import { isFailure } from "./classify.ts";
import { type GrpcRules, rulesIn } from "./grpc-rules.ts";
import type { GrpcService } from "./grpc-service.ts";

type Options = Parameters<NextCall>[0];
type Sent = ReturnType<NextCall>;

/** @param rules of a view whose client this is for; calls may have others. */
export function createInterceptor(service: GrpcService, rules?: GrpcRules): Interceptor {
  const { methods } = service;
  return (given, nextCall) => {
    methods.learn(given.method_definition);
    const options = given.credentials === undefined ? given : watchable(given, given.credentials);
    const view = rulesIn(options) ?? rules;
    // Most calls need nothing in between; grpc-js asks for no more than this of it, whatever its type says.
    if (view === undefined) return send(options, nextCall) as InterceptingCall;
    if (view.service !== service) {
      const { name } = view.service.cluster;
      throw new TypeError(`options of ${name} were given to a call of ${service.cluster.name}`);
    }
    return new InterceptingCall(send(timed(view, options), nextCall), {
      start(metadata, listener, next) {
        next(view.mark(metadata), listener);
      },
    });
  };
}

/** With credentials that may hang, or fail. */
function watchable(options: Options, given: CallCredentials): Options {
  return { ...options, credentials: new GivenCredentials(given) };
}

/** A stream has only the time that its caller or its handler gives it. */
function timed({ deadlineMs }: GrpcRules, options: Options): Options {
  const { requestStream, responseStream } = options.method_definition;
  if (deadlineMs === undefined || requestStream || responseStream) return options;
  return { ...options, deadline: leastDeadline(options.deadline, deadlineMs) };
}

function send(options: Options, nextCall: NextCall): Sent {
  const context = currentContext();
  return context === undefined ? nextCall(options) : inherit(context, options, nextCall);
}

function inherit(context: CallContext, options: Options, nextCall: NextCall): Sent {
  const remainingMs = context.remainingMs();
  const isEndless = remainingMs === Number.POSITIVE_INFINITY;
  const call = nextCall(
    isEndless ? options : { ...options, deadline: leastDeadline(options.deadline, remainingMs) },
  );
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
function leastDeadline(own: Date | number | undefined, remainingMs: number): number {
  const other = Date.now() + remainingMs;
  return own === undefined ? other : Math.min(Number(own), other);
}
